"""Arrays to a device, copied while it computes on those before."""

import numpy as np
import torch
from torch import Tensor

from gemmap._types import Float


class Uploads:
    """Sends arrays to one device.

    To a GPU they go through two buffers of pinned memory, on a stream of their own: the copy of one overlaps with the
    work on the one before. The host waits until the work on the one before that is done, so that no more than two are
    on the device, however far ahead it could read. Untested on a GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._buffers = [torch.empty(0, pin_memory=True) for _ in range(2)]
            self._before = [torch.cuda.Event() for _ in range(2)]  # type: ignore[no-untyped-call]
            self._number = 0

    def send(self, values: Float[np.ndarray, "..."]) -> Tensor:
        """Return a float32 array on the device; its copy is waited for by what is asked of the current stream next."""
        host = torch.from_numpy(np.ascontiguousarray(values, np.float32))
        if self._device.type != "cuda":
            return host.to(self._device)
        slot = self._number % 2
        self._number += 1
        compute = torch.cuda.current_stream(self._device)
        # All that was asked for until now is work on arrays sent before; that up to the array before the last is done.
        self._before[slot].record(compute)
        self._before[1 - slot].synchronize()
        if self._buffers[slot].numel() < host.numel():
            self._buffers[slot] = torch.empty(host.numel(), pin_memory=True)
        staged = self._buffers[slot][: host.numel()].view(host.shape)
        staged.copy_(host)
        with torch.cuda.stream(self._stream):
            sent = staged.to(self._device, non_blocking=True)
        compute.wait_stream(self._stream)
        # Allocated for one stream, used on the other: not to be given away before.
        sent.record_stream(compute)
        return sent
