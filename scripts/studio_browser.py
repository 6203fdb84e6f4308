"""See to it that the studio's tests find a Chromium: the system's own, by apt if it is missing.

    python scripts/studio_browser.py

No browser is ever downloaded from elsewhere.  What cannot be installed is told in one sentence.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> None:
    """Install Chromium unless there is one."""
    if any(map(shutil.which, NAMES)):
        return
    if not shutil.which("apt-get"):
        sys.exit("The studio's tests need Chromium: install it, so that chromium is on the PATH.")
    print("the studio: installing Chromium for its tests", file=sys.stderr)
    become = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    for words in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        command = [*become, "apt-get", "--quiet", "--quiet", *words]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
        if done.returncode != 0:
            sys.exit("apt could not install Chromium: sudo apt-get install chromium")


if __name__ == "__main__":
    main()
