// Shows the desktop with noVNC. The password comes after the address's #, which no server sees; it is kept for this tab
// only, so that a reload works, and is removed from the address bar.
import RFB from './core/rfb.js';

const KEPT = 'labenv-password';
const AGAIN = 2000; // milliseconds between two tries to reach a desktop that is gone
const part = (id) => document.getElementById(id);
const say = (text) => { part('state').textContent = text; };

let screen = null;
let copied = ''; // the content of the desktop's clipboard, as far as this page knows
let refused = ''; // why the desktop did not let this page in

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
    refused = '';
    const channel = new WebSocket(address);
    // A server that lets nobody in says so at once, behind its version, which has twelve letters; noVNC would wait for more.
    channel.addEventListener('message', (event) => { if (event.data.byteLength > 12) refused = 'Too many'; }, { once: true });
    screen = new RFB(part('screen'), channel, { credentials: { password }, shared: true });
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
    screen.addEventListener('securityfailure', (event) => { refused = event.detail.reason || 'refused'; });
    screen.addEventListener('clipboard', (event) => {
        copied = part('text').value = event.detail.text;
    });
    screen.addEventListener('disconnect', () => {
        show(false);
        if (refused.includes('Too many')) {
            ask('Too many wrong passwords. Wait a minute, then type the one that “labenv desktop” printed last.');
        } else if (refused) {
            ask('This password does not open the desktop. “labenv desktop” prints a new password each time; only the last one works.');
        } else {
            say('The desktop does not answer. If it does not come back, run “labenv desktop” on your computer.');
            setTimeout(() => connect(password), AGAIN);
        }
    });
}

function show(there) {
    part('clipboard').hidden = part('full').hidden = !there;
    if (!there) lay(false);
}

// Shows or hides the clipboard's field.
function lay(there) {
    part('board').hidden = !there;
    part('clipboard').setAttribute('aria-expanded', String(there));
    if (there) part('text').select();
}

// The user's own clipboard is never read or written here: a student is root on the desktop, and may look at what comes and
// choose what goes. The user pastes into the button's field, and copies from it.
function give(text) {
    if (!screen || !text || text === copied) return;
    copied = text;
    screen.clipboardPasteFrom(text);
}

part('text').addEventListener('input', (event) => give(event.target.value));
part('clipboard').addEventListener('click', () => lay(part('board').hidden));
part('board').addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    lay(false);
    screen.focus();
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
