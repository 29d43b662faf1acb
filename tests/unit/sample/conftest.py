from collections.abc import AsyncIterator

import httpx
import pytest

from assay.sample_endpoint import SampleEndpoint


@pytest.fixture
async def endpoint() -> AsyncIterator[SampleEndpoint]:
    async with SampleEndpoint(["good", "bad=0"]) as endpoint:
        yield endpoint


@pytest.fixture
async def client(endpoint: SampleEndpoint) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=endpoint.url, timeout=10) as client:
        yield client
