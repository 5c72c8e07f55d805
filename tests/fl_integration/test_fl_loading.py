import subprocess
import sys

import pytest


@pytest.mark.slow
def test_aggregating_arrays_and_reading_payloads_load_neither_torch_nor_scikit_learn_nor_pandas():
    heavy = "{'torch', 'sklearn', 'pandas'} & set(sys.modules)"
    used = "import sys, veilsum; veilsum.local; import fl_integration.workload, fl_integration.buffered"
    code = f"{used}; assert not {heavy}, {heavy}"
    subprocess.run([sys.executable, "-c", code], check=True)
