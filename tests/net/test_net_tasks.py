import os
import signal

import pytest
import trio

from net.tasks import open_crew, plain_errors, stop_on_sigterm


async def test_background_tasks_end_with_the_body():
    async with open_crew() as crew:
        crew.start_soon(trio.sleep_forever)


async def test_an_error_comes_out_as_itself_with_its_cause():
    async def fail():
        raise KeyError("a") from ValueError("b")

    async def run():
        async with open_crew() as crew:
            crew.start_soon(fail)
            await trio.sleep_forever()

    with pytest.raises(KeyError) as caught:
        await run()
    assert isinstance(caught.value.__cause__, ValueError)


def test_of_several_errors_one_that_is_no_exception_comes_first():
    with pytest.raises(KeyboardInterrupt), plain_errors():
        raise BaseExceptionGroup("", [ValueError(), BaseExceptionGroup("", [KeyboardInterrupt()])])


@pytest.mark.skipif(os.name != "posix", reason="SIGTERM ends a process at once elsewhere")
async def test_sigterm_asks_to_stop():
    stop = trio.Event()
    async with open_crew() as crew:
        crew.start_soon(stop_on_sigterm, stop)
        await trio.testing.wait_all_tasks_blocked()
        signal.raise_signal(signal.SIGTERM)
        with trio.fail_after(5):
            await stop.wait()
