"""The saved stories: one SQLite file that survives crashes, crowds and years.

    with Library() as library:
        id = library.add(story)                       # whole, or sentence by sentence:
        id = library.begin(story); library.append(id, " The end."); library.finish(id, story)
        library.search("fox kite")

Several apps share one library, and several threads one `Library`. store.py is the library itself;
opening.py looks before it touches, schema.py knows the tables, salvage.py mends what is damaged;
exports.py writes stories to files, booklet.py those that are to be printed.
"""

from tinytales.library.rows import Entry
from tinytales.library.store import FILE, SORTS, Library, library_path

__all__ = ["FILE", "SORTS", "Entry", "Library", "library_path"]
