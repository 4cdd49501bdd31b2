/* As much of nc(1), in its words, as labenv needs to connect from a machine: nc -v -q 1 -w SECONDS [-n] [-s SOURCE] HOST PORT.
   It prints an empty line when it starts, and "no answer yet" when its kernel has had none for a while. It starts at a port that the
   kernel gives nobody (ip_local_port_range), by which labenv knows its own connections in a server's log. It is linked with musl,
   which looks names up itself: glibc would load the machine's
   own libraries for that (nsswitch.conf(5)). */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int push(int to, const char *data, ssize_t length)
{
    while (length > 0) {
        ssize_t sent = write(to, data, length);
        if (sent < 0 && errno == EAGAIN) {
            poll(&(struct pollfd){.fd = to, .events = POLLOUT}, 1, -1);
            continue;
        }
        if (sent < 0)
            return -1;
        data += sent;
        length -= sent;
    }
    return 0;
}

static const char *reason(int error)
{
    return error == EHOSTUNREACH ? "No route to host" : error == ETIMEDOUT ? "Connection timed out" : strerror(error);
}

enum { SOON = 100 };  /* milliseconds in which a machine beside this one answers, however busy the computer is: its kernel does that */
enum { FIRST_PORT = 61000, LAST_PORT = 65535, TRIES = 20 };

/* Start at a port of labenv's that is free, or else at any. */
static int begin_at(int s, struct sockaddr_in from)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    srand(now.tv_nsec ^ getpid() << 12);
    for (int tries = TRIES; tries >= 0; tries--) {
        from.sin_port = tries ? htons(FIRST_PORT + rand() % (LAST_PORT - FIRST_PORT + 1)) : 0;
        if (!bind(s, (struct sockaddr *)&from, sizeof from))
            return 0;
        if (errno != EADDRINUSE)
            return -1;
    }
    return -1;
}

int main(int count, char **words)
{
    int option, seconds = 10, numeric = 0;
    const char *source = NULL;
    fputs("\n", stderr);
    while ((option = getopt(count, words, "vnq:w:s:")) > 0) {
        if (option == 'w')
            seconds = atoi(optarg);
        else if (option == 's')
            source = optarg;
        else if (option == 'n')
            numeric = AI_NUMERICHOST;
    }
    if (count - optind != 2)
        return 2;
    const char *host = words[optind], *port = words[optind + 1];
    struct addrinfo *to, *from, wanted = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = numeric};
    int failed = getaddrinfo(host, port, &wanted, &to);
    if (failed) {
        fprintf(stderr, "nc: getaddrinfo for host \"%s\" port %s: %s\n", host, port, gai_strerror(failed));
        return 1;
    }
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wanted.ai_flags = AI_NUMERICHOST;
    struct sockaddr_in start = {.sin_family = AF_INET};
    if (source && !getaddrinfo(source, NULL, &wanted, &from))
        start = *(struct sockaddr_in *)from->ai_addr;
    if (begin_at(s, start) || (source && !start.sin_addr.s_addr)) {
        fprintf(stderr, "nc: bind failed: %s\n", strerror(errno));
        return 1;
    }
    int flags = fcntl(s, F_GETFL), error = 0;
    fcntl(s, F_SETFL, flags | O_NONBLOCK);
    if (connect(s, to->ai_addr, to->ai_addrlen)) {
        error = errno;
        if (error == EINPROGRESS) {
            socklen_t size = sizeof error;
            struct pollfd connected = {.fd = s, .events = POLLOUT};
            int answered = poll(&connected, 1, SOON);
            if (!answered) {
                fputs("no answer yet\n", stderr);
                answered = poll(&connected, 1, seconds * 1000);
            }
            if (answered > 0)
                getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &size);
            else
                error = ETIMEDOUT;
        }
    }
    if (error) {
        fprintf(stderr, "nc: connect to %s port %s (tcp) failed: %s\n", host, port, reason(error));
        return 1;
    }
    fprintf(stderr, "Connection to %s %s port [tcp/*] succeeded!\n", host, port);
    signal(SIGPIPE, SIG_IGN);
    struct pollfd ends[2] = {{.fd = s, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    char block[65536];
    for (;;) {
        if (poll(ends, 2, ends[1].fd < 0 ? 1000 : seconds * 1000) <= 0)
            return 0;
        if (ends[0].revents) {
            ssize_t got = read(s, block, sizeof block);
            if (got < 0 && errno == EAGAIN)
                continue;
            if (got <= 0 || push(1, block, got))
                return 0;
        }
        if (ends[1].fd >= 0 && ends[1].revents) {
            ssize_t got = read(0, block, sizeof block);
            if (got > 0 && push(s, block, got))
                return 0;
            if (got <= 0) {
                shutdown(s, SHUT_WR);
                ends[1].fd = -1;
            }
        }
    }
}
