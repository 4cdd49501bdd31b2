// Shows the desktop with noVNC. The password comes after the address's #, which no server sees; it is kept for this tab
// only, so that a reload works, and is removed from the address bar.
import RFB from './core/rfb.js';

const KEPT = 'labenv-password';
const AGAIN = 2000; // milliseconds between two tries to reach a desktop that is gone
const part = (id) => document.getElementById(id);
const say = (text) => { part('state').textContent = text; };

let screen = null;
let copied = ''; // the content of both clipboards, as far as this page knows
let refused = false;

function ask(why) {
    sessionStorage.removeItem(KEPT);
    say('');
    part('why').textContent = why;
    part('ask').hidden = false;
    part('password').value = '';
    part('password').focus();
}

function connect(password) {
    const address = new URL('websockify', location.href);
    address.protocol = address.protocol.replace('http', 'ws');
    address.hash = '';
    refused = false;
    screen = new RFB(part('screen'), address.href, { credentials: { password }, shared: true });
    screen.resizeSession = true; // the desktop gets the size of the window
    screen.scaleViewport = true;
    screen.background = 'transparent';
    screen.addEventListener('connect', () => {
        sessionStorage.setItem(KEPT, password);
        say('');
        show(true);
        screen.focus();
    });
    screen.addEventListener('desktopname', (event) => {
        part('name').textContent = event.detail.name;
        document.title = `${event.detail.name} · labenv desktop`;
    });
    screen.addEventListener('securityfailure', () => { refused = true; });
    screen.addEventListener('clipboard', (event) => {
        copied = part('text').value = event.detail.text;
        navigator.clipboard?.writeText(copied).catch(() => {}); // not allowed: the clipboard's button shows it
    });
    screen.addEventListener('disconnect', () => {
        show(false);
        if (refused) {
            ask('This password does not open the desktop. “labenv desktop” prints a new password each time; only the last one works.');
        } else {
            say('The desktop does not answer. If it does not come back, run “labenv desktop” on your computer.');
            setTimeout(() => connect(password), AGAIN);
        }
    });
}

function show(there) {
    part('clipboard').hidden = part('full').hidden = !there;
    if (!there) part('board').hidden = true;
}

function give(text) {
    if (!screen || !text || text === copied) return;
    copied = text;
    screen.clipboardPasteFrom(text);
}

// Whoever comes back to this page may have copied something elsewhere. A browser that does not allow the look has the button.
window.addEventListener('focus', async () => {
    try {
        give(part('text').value = await navigator.clipboard.readText());
    } catch { /* not allowed here */ }
});

part('text').addEventListener('input', (event) => give(event.target.value));
part('clipboard').addEventListener('click', (event) => {
    const board = part('board');
    board.hidden = !board.hidden;
    event.target.setAttribute('aria-expanded', String(!board.hidden));
    if (!board.hidden) part('text').select();
});
part('full').addEventListener('click', () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen();
});
part('board').addEventListener('submit', (event) => event.preventDefault());
part('ask').addEventListener('submit', (event) => {
    event.preventDefault();
    part('ask').hidden = true;
    say('Connecting …');
    connect(part('password').value.trim());
});

const password = decodeURIComponent(location.hash.slice(1)) || sessionStorage.getItem(KEPT);
history.replaceState(null, '', location.pathname);
if (password) {
    say('Connecting …');
    connect(password);
} else {
    ask('Type the password that “labenv desktop” printed. It prints a new one each time.');
}
