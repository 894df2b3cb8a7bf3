"""The numbers by which the change ring knows tables and readers. Numbers are never given twice."""

from typing import Final

LOCATION: Final = 1
DIALOGS: Final = 2
DESTINATIONS: Final = 3

READER_STORAGE: Final = 0
READER_CLUSTER: Final = 1
