"""Which place a configuration names for the shared allowance."""

import os
from collections.abc import Mapping
from pathlib import Path

from generator.config import BudgetConfig
from generator.quota.folder import FolderStore
from generator.spending import SharedStore
from shared.errors import InputError


def shared_store(
    budget: BudgetConfig, environ: Mapping[str, str] = os.environ
) -> SharedStore | None:
    """None where nothing is shared. Errors: `InputError` for an address that cannot be used."""
    if budget.shared:
        return FolderStore(Path(budget.shared))
    if not budget.shared_env:
        return None
    variable = budget.shared_env
    address = environ.get(variable, "").strip()
    if not address:
        raise InputError(
            f"budget.shared_env: the environment variable {variable} is empty: export it with"
            " postgresql://user:password@host/name"
        )
    if not address.startswith(("postgresql://", "postgres://")):
        raise InputError(
            f"budget.shared_env: {variable} holds no postgresql:// address: write it like"
            " postgresql://user:password@host/name"
        )
    try:
        from generator.quota.postgres import PostgresStore
    except ImportError:
        raise InputError(
            "budget.shared_env: psycopg is not installed: run `.venv/generator/bin/pip install -c"
            " constraints/generator.txt 'psycopg[binary]'`"
        ) from None
    return PostgresStore(address, variable)
