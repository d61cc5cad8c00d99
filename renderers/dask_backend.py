"""joblib's backend of Dask, which also tells of work whose worker died: joblib 1.6's own waits for it for ever."""

from __future__ import annotations

import asyncio

from joblib._dask import DaskDistributedBackend


class DaskBackend(DaskDistributedBackend):
    """The backend, with a `_collect` that hands errors of Dask to joblib, as it does with errors of the work."""

    async def _collect(self) -> None:
        while self._continue:
            async for future, result in self.waiting_futures:
                found, callback = self._results.pop(future), self._callbacks.pop(future)
                if future.status == "finished":
                    found.set_result(result)
                    callback(result)
                    continue
                lost = ConnectionError("found the Dask scheduler gone, expected it to live: start it, and go on")
                error = result[1] if future.status == "error" else lost
                found.set_exception(error)
                callback(error)
            await asyncio.sleep(0.01)
