"""Write the generated tables of all pages anew: ``make docs``."""

import sys

from tests.readmes.page import PAGES, name_of
from tests.readmes.tables import regenerate


def main() -> None:
    """Write each page whose tables differ from the code, and name it."""
    for page in PAGES:
        old = page.read_text()
        new = regenerate(old)
        if new != old:
            page.write_text(new)
            sys.stdout.write(f"{name_of(page)}: tables written\n")


if __name__ == "__main__":
    main()
