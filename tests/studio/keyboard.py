"""A page that is driven by its keys alone."""

MOST = 300  # presses of Tab


def tab_to(page, css):
    """Press Tab until what CSS names has the focus, as somebody without a mouse would."""
    for _ in range(MOST):
        if page.evaluate("css => document.activeElement.matches(css)", css):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{MOST} times Tab have not come to {css}: {page.url}")
