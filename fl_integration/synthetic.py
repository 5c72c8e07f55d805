"""Card transactions of invented banks, for the demo and the tests: data, not a secret, so numpy's generator makes it.

Every bank has customers of its own (what they spend, where, how often they travel) and meets mostly two of five kinds
of fraud; the other three hardly occur there. The common test set mixes the customers and the frauds of all banks in
equal parts: what a bank alone has never seen is what it misses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

LABEL = "fraud"
CATEGORIES = ("grocery", "fuel", "restaurant", "clothing", "electronics", "travel", "gift_cards", "cash")
FRAUDS = ("card_testing", "stolen_card", "new_card", "skimming", "takeover")
ROWS = (1600, 2400, 3600, 4800, 6000)
SCHEMA: Mapping[str, Mapping[str, Any]] = {
    "amount": {"range": [0.0, 500.0]},
    "amount_ratio": {"range": [0.0, 8.0]},
    "hour": {"range": [0.0, 23.0]},
    "merchant_category": {"categories": list(CATEGORIES)},
    "country_match": {"range": [0.0, 1.0]},
    "distance_km": {"range": [0.0, 1000.0]},
    "card_age_months": {"range": [0.0, 72.0]},
    "declines_24h": {"range": [0.0, 6.0]},
    "transactions_1h": {"range": [0.0, 8.0]},
    "known_device": {"range": [0.0, 1.0]},
    "days_since_change": {"range": [0.0, 1000.0]},
}

_LEARNING_RATES = {"linear": 0.01, "mlp": 0.05}
_HELD_OUT_ROWS = 20_000
_HELD_OUT_STREAM = 1_000_000  # no bank has this index

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Bank:
    """What is usual at one bank.

    amount: the median payment. travel: the share of payments from abroad. cash: the share of withdrawals. young: the
    share of cards younger than a year. movers: the share of customers with a new address or device. fraud_rate: the
    share of frauds. first: the index in FRAUDS of its most frequent kind; the next one is its second.
    """

    amount: float
    travel: float
    cash: float
    young: float
    movers: float
    fraud_rate: float
    first: int


PROFILES = (
    Bank(amount=32.0, travel=0.03, cash=0.10, young=0.20, movers=0.08, fraud_rate=0.032, first=0),
    Bank(amount=45.0, travel=0.10, cash=0.06, young=0.12, movers=0.05, fraud_rate=0.030, first=1),
    Bank(amount=28.0, travel=0.02, cash=0.16, young=0.10, movers=0.12, fraud_rate=0.028, first=2),
    Bank(amount=60.0, travel=0.07, cash=0.04, young=0.14, movers=0.06, fraud_rate=0.026, first=3),
    Bank(amount=38.0, travel=0.05, cash=0.08, young=0.16, movers=0.10, fraud_rate=0.024, first=4),
)

_OWN_FRAUDS = (0.46, 0.38, 0.06, 0.05, 0.05)  # its first kind, its second, the others


def transactions(banks: int, seed: int, rows_per_bank: tuple[int, ...] = ROWS) -> list[pd.DataFrame]:
    """The tables of `banks` banks, in order. Bank i is the same one whatever the others are.

    rows_per_bank: rows of each; banks past its end begin again at its start.
    """
    return [_bank_table(index, rows_per_bank[index % len(rows_per_bank)], seed) for index in range(banks)]


def held_out(seed: int, rows: int = _HELD_OUT_ROWS) -> pd.DataFrame:
    """The common test set: customers of all profiles in equal parts, frauds of all kinds in equal parts."""
    rng = np.random.default_rng([seed, _HELD_OUT_STREAM])
    even = [1 / len(FRAUDS)] * len(FRAUDS)
    parts = [_table(bank, even, rows // len(PROFILES), rng) for bank in PROFILES]
    return _shuffled(pd.concat(parts, ignore_index=True), rng)


def training(model: str, *, rounds: int = 5, seed: int = 0) -> dict[str, Any]:
    """The table `[training]` for these transactions. model: "linear" or "mlp"."""
    return {
        "model": model,
        "rounds": rounds,
        "epochs": 5,
        "learning_rate": _LEARNING_RATES[model],
        "clip": 2.0,
        "rows_per_unit": 250,
        "seed": seed,
        "label": LABEL,
        "schema": {name: dict(column) for name, column in SCHEMA.items()},
    }


def _bank_table(index: int, rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng([seed, index])
    bank = PROFILES[index % len(PROFILES)]
    return _shuffled(_table(bank, _own_frauds(bank), rows, rng), rng)


def _own_frauds(bank: Bank) -> list[float]:
    return [_OWN_FRAUDS[(kind - bank.first) % len(FRAUDS)] for kind in range(len(FRAUDS))]


def _table(bank: Bank, mix: Sequence[float], rows: int, rng: np.random.Generator) -> pd.DataFrame:
    frauds = round(rows * bank.fraud_rate)
    counts = np.diff(np.rint(np.cumsum([0.0, *mix]) * frauds).astype(int))
    parts = [_usual(bank, rows - frauds, rng)]
    for name, count in zip(FRAUDS, counts, strict=True):
        part = _usual(bank, int(count), rng)
        parts.append({**part, **_CHANGES[name](part, rng)})
    table = pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True)
    table[LABEL] = (np.arange(rows) >= rows - frauds).astype(np.int64)
    return _rounded(table)


def _usual(bank: Bank, rows: int, rng: np.random.Generator) -> Columns:
    """Payments by the card's owner."""
    abroad = rng.random(rows) < bank.travel
    young = rng.random(rows) < bank.young
    moved = rng.random(rows) < bank.movers
    return {
        "amount": bank.amount * rng.lognormal(0.0, 0.8, rows),
        "amount_ratio": rng.lognormal(0.0, 0.5, rows),
        "hour": np.clip(rng.normal(14.0, 4.5, rows), 0, 23),
        "merchant_category": _categories(bank.cash, rows, rng),
        "country_match": np.where(abroad, 0, 1),
        "distance_km": rng.exponential(8.0, rows) + abroad * rng.exponential(600.0, rows),
        "card_age_months": np.where(young, rng.uniform(0, 12, rows), rng.uniform(12, 72, rows)),
        "declines_24h": rng.poisson(0.10, rows),
        "transactions_1h": rng.poisson(0.5, rows),
        "known_device": np.where(moved & (rng.random(rows) < 0.6), 0, 1),
        "days_since_change": np.where(moved, rng.uniform(0, 90, rows), rng.uniform(30, 1000, rows)),
    }


def _categories(cash: float, rows: int, rng: np.random.Generator) -> npt.NDArray[Any]:
    share = np.array([0.30, 0.14, 0.20, 0.14, 0.07, 0.06, 0.03, 0.0])
    share *= (1 - cash) / share.sum()
    share[CATEGORIES.index("cash")] = cash
    return rng.choice(np.array(CATEGORIES, dtype=object), rows, p=share)


def _mostly(category: str, usual: npt.NDArray[Any], chance: float, rng: np.random.Generator) -> npt.NDArray[Any]:
    return np.where(rng.random(len(usual)) < chance, category, usual)


def _card_testing(usual: Columns, rng: np.random.Generator) -> Columns:
    """Stolen numbers are tried out: many small payments in a row, most of them declined. Old cards, at home."""
    rows = len(usual["amount"])
    return {
        "amount": rng.lognormal(2.2, 0.6, rows),
        "declines_24h": rng.poisson(2.4, rows),
        "transactions_1h": rng.poisson(3.6, rows),
        "card_age_months": rng.uniform(18, 72, rows),
        "days_since_change": rng.uniform(60, 1000, rows),
        "country_match": np.ones(rows, dtype=np.int64),
        "distance_km": rng.exponential(8.0, rows),
    }


def _stolen_card(usual: Columns, rng: np.random.Generator) -> Columns:
    """The card itself is gone: large purchases that resell well, in the shops of the neighbourhood."""
    rows = len(usual["amount"])
    factor = rng.lognormal(1.2, 0.5, rows)
    return {
        "amount": usual["amount"] * factor,
        "amount_ratio": usual["amount_ratio"] * factor,
        "merchant_category": _mostly("electronics", usual["merchant_category"], 0.7, rng),
        "distance_km": rng.exponential(25.0, rows),
        "transactions_1h": rng.poisson(0.3, rows),
        "days_since_change": rng.uniform(60, 1000, rows),
    }


def _new_card(usual: Columns, rng: np.random.Generator) -> Columns:
    """A card that was opened in a false name: a few months old, turned into gift cards."""
    rows = len(usual["amount"])
    return {
        "card_age_months": rng.gamma(2.0, 2.0, rows),
        "merchant_category": _mostly("gift_cards", usual["merchant_category"], 0.75, rng),
        "declines_24h": np.zeros(rows, dtype=np.int64),
    }


def _skimming(usual: Columns, rng: np.random.Generator) -> Columns:
    """A copied card draws cash abroad, at night. The card is an old one and so is the address."""
    rows = len(usual["amount"])
    abroad = rng.random(rows) < 0.8
    return {
        "merchant_category": _mostly("cash", usual["merchant_category"], 0.7, rng),
        "country_match": np.where(abroad, 0, 1),
        "distance_km": rng.exponential(20.0, rows) + abroad * rng.exponential(500.0, rows),
        "hour": rng.uniform(0, 16, rows),
        "card_age_months": rng.uniform(12, 72, rows),
    }


def _takeover(usual: Columns, rng: np.random.Generator) -> Columns:
    """The customer's account is taken over: a new device, an address changed last week, clothes and trips."""
    rows = len(usual["amount"])
    return {
        "known_device": np.where(rng.random(rows) < 0.75, 0, 1),
        "days_since_change": rng.exponential(30.0, rows),
        "merchant_category": _mostly("clothing", usual["merchant_category"], 0.4, rng),
    }


_CHANGES: Mapping[str, Callable[[Columns, np.random.Generator], Columns]] = {
    "card_testing": _card_testing,
    "stolen_card": _stolen_card,
    "new_card": _new_card,
    "skimming": _skimming,
    "takeover": _takeover,
}


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """As an export would print it: cents, whole hours, whole kilometres."""
    places = {"amount": 2, "amount_ratio": 2}
    whole = ["hour", "distance_km", "card_age_months", "days_since_change"]
    return table.round(places).assign(**{name: table[name].round().astype(np.int64) for name in whole})


def _shuffled(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return table.iloc[rng.permutation(len(table))].reset_index(drop=True)
