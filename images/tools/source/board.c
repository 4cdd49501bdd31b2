/* Runs many commands at once for one caller, over one connection (labenv/engine/dial.py); what dial.pl does, as a program that
   nothing in the machine can change.

   A frame in either direction: number of the command (32 bit), kind (8 bit), length (32 bit), data.
   To here:   0 start this command (its words, separated by zero bytes), 1 input, 2 end of input, 3 kill.
   From here: 1 output, 2 error output, 3 the command has ended. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 200, WORDS = 64, BLOCK = 65536, HEADER = 9, LARGEST = 1 << 24 };

struct command {
    uint32_t id;
    pid_t pid;               /* 0: this place is free */
    int in, out[2];          /* -1: closed; out: output and error output */
    unsigned char *waiting;  /* input that the command has not taken yet */
    size_t length;
    int last;                /* the input ends after that */
};

static struct command commands[MOST];

static void put32(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = value >> (24 - 8 * i);
}

static uint32_t get32(const unsigned char *from)
{
    return (uint32_t)from[0] << 24 | from[1] << 16 | from[2] << 8 | from[3];
}

static void leave(void)
{
    for (struct command *c = commands; c < commands + MOST; c++)
        if (c->pid)
            kill(c->pid, SIGKILL);
    _exit(0);
}

static void report(uint32_t id, unsigned char kind, const unsigned char *data, size_t length)
{
    unsigned char frame[HEADER + BLOCK];
    put32(frame, id);
    frame[4] = kind;
    put32(frame + 5, length);
    if (length)
        memcpy(frame + HEADER, data, length);
    for (size_t done = 0; done < HEADER + length;) {
        ssize_t sent = write(1, frame + done, HEADER + length - done);
        if (sent < 0)
            leave();
        done += sent;
    }
}

static void start(uint32_t id, char *data, size_t length)
{
    char *words[WORDS + 1] = {data};
    int count = 1;
    for (char *end; count < WORDS && (end = memchr(words[count - 1], 0, data + length - words[count - 1])); count++)
        words[count] = end + 1;  /* the last word ends with the zero byte behind the frame */
    struct command *c = commands;
    while (c < commands + MOST && c->pid)
        c++;
    int in[2], out[2], error[2];
    if (c == commands + MOST || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(error, O_CLOEXEC)) {
        report(id, 3, NULL, 0);
        return;
    }
    pid_t child = fork();
    if (child == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(error[1], 2);
        signal(SIGPIPE, SIG_DFL);
        execv(words[0], words);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    close(error[1]);
    fcntl(in[1], F_SETFL, O_WRONLY | O_NONBLOCK);  /* a command that reads nothing must not hold up the others */
    *c = (struct command){.id = id, .pid = child, .in = in[1], .out = {out[0], error[0]}};
}

static void shut(struct command *c)
{
    if (c->in >= 0)
        close(c->in);
    c->in = -1;
    free(c->waiting);
    c->waiting = NULL;
    c->length = 0;
}

static void obey(uint32_t id, unsigned char kind, unsigned char *data, size_t length)
{
    if (kind == 0) {
        start(id, (char *)data, length);
        return;
    }
    struct command *c = commands;
    while (c < commands + MOST && (!c->pid || c->id != id))
        c++;
    if (c == commands + MOST)
        return;
    if (kind == 1 && c->in >= 0 && length) {
        unsigned char *longer = realloc(c->waiting, c->length + length);
        if (!longer)
            leave();
        memcpy(longer + c->length, data, length);
        c->waiting = longer;
        c->length += length;
    } else if (kind == 2)
        c->last = 1;
    else if (kind == 3)
        kill(c->pid, SIGKILL);
}

/* Give a command what it will take of its input. */
static void feed(struct command *c)
{
    ssize_t sent = write(c->in, c->waiting, c->length);
    if (sent < 0 && errno == EAGAIN)
        return;
    if (sent < 0) {  /* it has closed its input */
        shut(c);
        return;
    }
    c->length -= sent;
    memmove(c->waiting, c->waiting + sent, c->length);
}

static void say(struct command *c, int which)
{
    unsigned char block[BLOCK];
    ssize_t got = read(c->out[which], block, sizeof block);
    if (got > 0) {
        report(c->id, which + 1, block, got);
        return;
    }
    close(c->out[which]);
    c->out[which] = -1;
    if (c->out[0] >= 0 || c->out[1] >= 0)
        return;
    shut(c);
    waitpid(c->pid, NULL, 0);
    c->pid = 0;
    report(c->id, 3, NULL, 0);
}

int main(void)
{
    size_t room = BLOCK, have = 0;
    unsigned char *read_ = malloc(room + 1);
    signal(SIGPIPE, SIG_IGN);
    while (read_) {
        struct pollfd waits[1 + 3 * MOST];
        struct command *whose[1 + 3 * MOST];
        int what[1 + 3 * MOST], count = 1;
        waits[0] = (struct pollfd){.fd = 0, .events = POLLIN};
        for (struct command *c = commands; c < commands + MOST; c++) {
            if (!c->pid)
                continue;
            if (c->in >= 0 && c->last && !c->length)
                shut(c);
            for (int i = 0; i < 3; i++) {
                int fd = i < 2 ? c->out[i] : c->in;
                if (fd < 0 || (i == 2 && !c->length))
                    continue;
                waits[count] = (struct pollfd){.fd = fd, .events = i < 2 ? POLLIN : POLLOUT};
                whose[count] = c;
                what[count++] = i;
            }
        }
        if (poll(waits, count, -1) < 0)
            continue;
        for (int i = 1; i < count; i++)
            if (waits[i].revents && what[i] == 2)
                feed(whose[i]);
        for (int i = 1; i < count; i++)
            if (waits[i].revents && what[i] < 2)
                say(whose[i], what[i]);
        if (!waits[0].revents)
            continue;
        ssize_t got = read(0, read_ + have, room - have);
        if (got <= 0)
            leave();
        have += got;
        while (have >= HEADER) {
            size_t length = get32(read_ + 5), whole = HEADER + length;
            if (length > LARGEST)
                leave();
            if (have < whole) {
                if (room < whole) {
                    room = whole;
                    read_ = realloc(read_, room + 1);
                    if (!read_)
                        leave();
                }
                break;
            }
            unsigned char after = read_[whole];
            read_[whole] = 0;  /* ends the last word of a command; there is always room for it */
            obey(get32(read_), read_[4], read_ + HEADER, length);
            read_[whole] = after;
            have -= whole;
            memmove(read_, read_ + whole, have);
        }
        if (have == room) {
            room *= 2;
            read_ = realloc(read_, room + 1);
        }
    }
    leave();
}
