/* digests SINCE PLACE...: the SHA-256 (FIPS 180-4) of each regular file at or below the places whose inode changed at or after
   SINCE (seconds since 1970), and the target of each such link. Root can set a file's time of modification, but not that of its
   inode (inode(7)). Each entry is "DIGEST PATH" or "->TARGET PATH", with a zero byte after each of the two parts; what is there
   and cannot be read, or only in part, is "unreadable PATH". A place that is not there has no entry. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEEPEST = 250 };  /* folders below a place; each holds a descriptor open, and 1024 are usual */

static long long since;
static char path[1 << 16];  /* longer than PATH_MAX, which limits a call, but not how deep folders lie */

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turned(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void add(uint32_t s[8], const unsigned char *block)
{
    uint32_t w[64], a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + (turned(w[i - 15], 7) ^ turned(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7]
             + (turned(w[i - 2], 17) ^ turned(w[i - 2], 19) ^ w[i - 2] >> 10);
    for (int i = 0; i < 64; i++) {
        uint32_t one = h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + w[i];
        uint32_t two = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + one, d = c, c = b, b = a, a = one + two;
    }
    s[0] += a, s[1] += b, s[2] += c, s[3] += d, s[4] += e, s[5] += f, s[6] += g, s[7] += h;
}

static int digest(int folder, const char *name, char said[65])
{
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    static unsigned char block[1 << 16];
    uint64_t whole = 0;
    size_t have = 0;
    ssize_t got;
    int file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0)
        return -1;
    while ((got = read(file, block + have, sizeof block - have)) > 0) {
        size_t used = 0;
        for (have += got, whole += got; used + 64 <= have; used += 64)
            add(h, block + used);
        memmove(block, block + used, have -= used);
    }
    close(file);
    if (got < 0)
        return -1;
    block[have++] = 0x80;
    size_t end = have <= 56 ? 64 : 128;
    memset(block + have, 0, end - have);
    for (int i = 0; i < 8; i++)
        block[end - 1 - i] = whole * 8 >> 8 * i;
    for (size_t at = 0; at < end; at += 64)
        add(h, block + at);
    for (int i = 0; i < 8; i++)
        sprintf(said + 8 * i, "%08x", h[i]);
    return 0;
}

static void tell(const char *said)
{
    printf("%s%c%s%c", said, 0, path, 0);
}

static void see(int folder, const char *name, int depth);

/* All that lies in a folder, which `path` names. Whatever cannot be read is told, and the rest is read all the same. */
static void walk(int folder, const char *name, int depth)
{
    size_t end = strlen(path);
    int here = depth < DEEPEST ? openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW) : -1;
    DIR *entries = here < 0 ? NULL : fdopendir(here);
    struct dirent *entry;
    if (!entries) {
        if (here >= 0)
            close(here);
        tell("unreadable");
        return;
    }
    while (errno = 0, (entry = readdir(entries))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (end + 1 + strlen(entry->d_name) >= sizeof path) {
            tell("unreadable");
            continue;
        }
        path[end] = '/';
        strcpy(path + end + 1, entry->d_name);
        see(here, path + end + 1, depth + 1);
        path[end] = 0;
    }
    if (errno)
        tell("unreadable");
    closedir(entries);
}

static void see(int folder, const char *name, int depth)
{
    char said[4099] = "->";  /* ends with zero bytes */
    struct stat s;
    if (fstatat(folder, name, &s, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            tell("unreadable");
    } else if (S_ISDIR(s.st_mode)) {
        walk(folder, name, depth);
    } else if (s.st_ctime >= since && (S_ISREG(s.st_mode) || S_ISLNK(s.st_mode))) {
        if (S_ISLNK(s.st_mode) ? readlinkat(folder, name, said + 2, 4096) < 0 : digest(folder, name, said) < 0)
            strcpy(said, "unreadable");
        tell(said);
    }
}

int main(int count, char **words)
{
    if (count < 3)
        return 2;
    since = atoll(words[1]);
    for (int i = 2; i < count; i++) {
        if (strlen(words[i]) >= sizeof path)
            return 2;
        strcpy(path, words[i]);
        see(AT_FDCWD, words[i], 0);
    }
    return fflush(stdout) ? 1 : 0;
}
