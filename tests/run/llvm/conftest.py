"""The engine's tests keep what they compile in a folder of their own."""

import pytest

from chainrule.run.llvm import cache


@pytest.fixture(autouse=True, scope="session")
def folder_of_objects(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAINRULE_CACHE", str(tmp_path_factory.mktemp("objects")))
        cache.default_cache.cache_clear()
        yield
    cache.default_cache.cache_clear()
