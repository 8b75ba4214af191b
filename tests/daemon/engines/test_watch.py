"""A watch leaves a model's code before its next part, once its segment is cancelled."""

import threading

import pytest

torch = pytest.importorskip("torch")


def test_it_leaves_before_the_next_part_and_only_where_it_was_asked() -> None:
    from voiced.engines.watch import LeftEarly, Watch, leaves

    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    model = torch.nn.Sequential(first, torch.nn.Sequential(second))
    assert leaves(model) == [first, second]
    watch = Watch()
    watch.follow(leaves(model))
    cancelled = watch.cancelled = threading.Event()
    called: list[str] = []

    def cancel(*_: object) -> None:
        called.append("first")
        cancelled.set()

    hook = first.register_forward_hook(cancel)
    second.register_forward_hook(lambda *_: called.append("second"))
    with pytest.raises(LeftEarly):
        model(torch.zeros(1, 2))
    assert called == ["first"]
    hook.remove()
    watch.cancelled = threading.Event()
    model(torch.zeros(1, 2))
    assert called == ["first", "second"]
