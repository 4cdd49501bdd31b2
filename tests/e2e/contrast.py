"""The contrast of each text with what is behind it (WCAG 2.2, 1.4.3), measured in a browser: colours that nobody can read are found.

The script takes all texts that are to be seen, so that a new one is measured, too. What a style sheet puts before an element is no text
there: such elements are named.
"""

from collections.abc import Callable, Sequence
from typing import Any

LEAST = 4.5
_MEASURE = """
(before) => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
    const light = (behind, text, opacity) => {
        canvas.clearRect(0, 0, 1, 1);
        for (const colour of behind) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
        if (text) {
            canvas.globalAlpha = opacity; canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1); canvas.globalAlpha = 1;
        }
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => v / 255)
            .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b;
    };
    const behind = (element) => {
        const own = [];
        const box = element.closest('svg g')?.querySelector('rect');  // a name in a drawing stands on the box of its group
        if (box) own.push(getComputedStyle(box).fill);
        for (let e = element; e; e = e.parentElement) own.unshift(getComputedStyle(e).backgroundColor);
        return ['Canvas', ...own];
    };
    const seen = (element) => {
        const {width, height} = element.getBoundingClientRect();
        return width > 1 && height > 1 && parseFloat(getComputedStyle(element).fontSize) > 0
            && element.checkVisibility({opacityProperty: true, visibilityProperty: true})
            && !element.closest('[disabled], [aria-disabled=true], .xterm-accessibility');  // the last is for screen readers alone
    };
    const weak = {}, measured = [];
    const measure = (element, pseudo) => {
        const style = getComputedStyle(element, pseudo);
        let opacity = 1;
        for (let e = element; e; e = e.parentElement) opacity *= getComputedStyle(e).opacity;
        const text = element.closest('svg') ? style.fill : style.color;
        const pair = [light(behind(element)), light(behind(element), text, opacity)];
        const ratio = (Math.max(...pair) + .05) / (Math.min(...pair) + .05);
        measured.push(ratio);
        const said = (pseudo ? style.content : element.textContent).trim().slice(0, 40);
        if (ratio < LEAST) weak[`${element.tagName} ${element.getAttribute('class') ?? ''}: ${said}`] = ratio;
    };
    for (const element of document.body.querySelectorAll('*'))
        if ([...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim()) && seen(element))
            measure(element, null);
    for (const selector of before)
        for (const element of document.querySelectorAll(selector)) measure(element, '::before');
    return {weak, measured: measured.length};
}
""".replace("LEAST", str(LEAST))


def weak(evaluate: Callable[[str, Any], Any], before: Sequence[str] = ()) -> dict[str, float]:
    """The texts of a page whose contrast is too low, each with its ratio. `evaluate` calls a JavaScript function in the page."""
    found = evaluate(_MEASURE, list(before))
    assert found["measured"] > 20, "the page is empty, so nothing was proved"
    return dict(found["weak"])
