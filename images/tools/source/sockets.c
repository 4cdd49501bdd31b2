/* The TCP sockets of a machine that listen or are connected, as its kernel knows them (sock_diag(7)), in the columns of
   /proc/net/tcp and /proc/net/tcp6 (proc(5)). Those take the kernel five times as long: it goes through a table that all machines of
   the computer share, once for each family. It ends with 1 where the kernel does not answer. */
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCK_DIAG = 4, BY_FAMILY = 20, REQUEST = 1, DUMP = 0x300, ERROR = 2, DONE = 3, ESTABLISHED = 1, LISTEN = 10 };

/* linux/netlink.h and linux/inet_diag.h, which musl does not have. */
struct header { uint32_t length; uint16_t type, flags; uint32_t sequence, port; };
struct ends { uint16_t near_port, far_port; uint32_t near[4], far[4], interface, cookie[2]; };
struct question { struct header head; uint8_t family, protocol, extensions, padding; uint32_t states; struct ends ends; };
struct answer {
    struct header head;
    uint8_t family, state, timer, retransmits;
    struct ends ends;
    uint32_t expires, received, sent, user, inode;
};

/* The kernel's numbers are in network order, which the columns keep for addresses. */
static void say_end(const uint32_t *address, int words, uint16_t port)
{
    putchar(' ');
    for (int i = 0; i < words; i++)
        printf("%08X", (unsigned)address[i]);
    printf(":%04X", (unsigned)ntohs(port));
}

static int say_sockets(int kernel, int family)
{
    static char block[65536] __attribute__((aligned(8)));
    struct question question = {
        .head = {.length = sizeof question, .type = BY_FAMILY, .flags = REQUEST | DUMP},
        .family = family,
        .protocol = IPPROTO_TCP,
        .states = 1 << ESTABLISHED | 1 << LISTEN,
    };
    if (send(kernel, &question, sizeof question, 0) < 0)
        return 1;
    for (;;) {
        ssize_t length = recv(kernel, block, sizeof block, 0);
        if (length <= 0)
            return 1;
        for (ssize_t place = 0; place + (ssize_t)sizeof(struct header) <= length;) {
            struct answer *one = (struct answer *)(block + place);
            if (one->head.type == DONE)
                return 0;
            if (one->head.type == ERROR || one->head.length < sizeof(struct header))
                return 1;
            int words = one->family == AF_INET6 ? 4 : 1;
            printf("0:");
            say_end(one->ends.near, words, one->ends.near_port);
            say_end(one->ends.far, words, one->ends.far_port);
            printf(" %02X - - - %u - %u\n", one->state, (unsigned)one->user, (unsigned)one->inode);
            place += (one->head.length + 3) & ~3u;
        }
    }
}

int main(void)
{
    int kernel = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, SOCK_DIAG);
    return kernel < 0 || say_sockets(kernel, AF_INET) || say_sockets(kernel, AF_INET6);
}
