"""`voiced cache`: what the caches hold, how they serve, and how to empty them."""

import argparse

from voiced.cli.connect import connect_or_start
from voiced.cli.exits import Exit
from voiced.cli.output import document, print_json, print_lines
from voiced.cli.parser import add_json, add_no_start
from voiced.cli.part import Part
from voiced.cli.text import printable, size, table
from voiced_ipc import messages as m

_CACHES = ("prompts", "weights")


def _declare(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    stats = actions.add_parser("stats", help="show sizes, bounds, hits and misses")
    add_json(stats)
    listing = actions.add_parser("list", help="show the entries, last used first")
    listing.add_argument("cache", nargs="?", choices=_CACHES, help="only this one's")
    add_json(listing)
    clear = actions.add_parser("clear", help="empty the caches; what is needed is made anew")
    clear.add_argument("cache", nargs="?", choices=_CACHES, help="only this one")
    for each in (listing, clear, stats):
        add_no_start(each)


def _run(options: argparse.Namespace) -> int:
    return {"stats": _stats, "list": _list, "clear": _clear}[options.action](options)


def _stats(options: argparse.Namespace) -> int:
    with connect_or_start(no_start=options.no_start) as client:
        caches = client.cache_stats()
    if options.json:
        print_json({"caches": [document(cache) for cache in caches]})
    else:
        print_lines(stats_page(caches))
    return Exit.OK


def stats_page(caches: list[m.CacheInfo]) -> list[str]:
    """Return the caches as a table."""
    rows = [
        (
            cache.cache,
            str(cache.entries),
            f"{size(cache.size_bytes)} of {size(cache.limit_bytes)}",
            str(cache.hits),
            str(cache.misses),
            cache.last_miss or "-",
            cache.path,
        )
        for cache in caches
    ]
    return table(("CACHE", "ENTRIES", "SIZE", "HITS", "MISSES", "LAST MISS", "FOLDER"), rows)


def _list(options: argparse.Namespace) -> int:
    with connect_or_start(no_start=options.no_start) as client:
        entries = list(client.cache_entries(options.cache or ""))
    if options.json:
        print_json({"entries": [document(entry) for entry in entries]})
    elif entries:
        print_lines(entries_page(entries))
    else:
        print("nothing is cached")
    return Exit.OK


def entries_page(entries: list[m.CacheEntry]) -> list[str]:
    """Return entries as a table."""
    rows = [
        (entry.cache, entry.model, entry.voice or "-", size(entry.size_bytes), entry.used, entry.key[:12])
        for entry in entries
    ]
    return table(("CACHE", "MODEL", "VOICE", "SIZE", "LAST USED", "KEY"), rows)


def _clear(options: argparse.Namespace) -> int:
    with connect_or_start(no_start=options.no_start) as client:
        print(printable(client.clear_cache(options.cache or "").message))
    return Exit.OK


PARTS = {
    "cache": Part(
        _declare,
        _run,
        ("voiced cache stats", "voiced cache list prompts", "voiced cache clear prompts"),
        "prompts: voices of recordings, as each model understands them. weights: what loading had to compute.",
    )
}
