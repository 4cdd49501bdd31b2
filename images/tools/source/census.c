/* The processes of a machine as its kernel knows them (proc(5)). A line for each: its number, the unit in whose control group it
   is, its program and the inodes of its sockets, with tabs between. The last two are empty where the kernel does not tell them: of
   a process that has changed its user (ptrace(2), "Ptrace access mode checking"). */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A path or a name can have anything in it. */
static void say_line(const char *text)
{
    for (; *text; text++)
        putchar(*text > 0 && *text < ' ' ? '?' : *text);
}

/* The last unit in /proc/PID/cgroup. */
static void say_unit(const char *pid)
{
    char path[64], line[4096], unit[4096] = "";
    snprintf(path, sizeof path, "/proc/%s/cgroup", pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        char *name = strrchr(line, '/');
        line[strcspn(line, "\n")] = 0;
        if (name && strlen(name) > 8 && !strcmp(name + strlen(name) - 8, ".service"))
            strcpy(unit, name + 1);
    }
    if (file)
        fclose(file);
    say_line(unit);
    putchar('\t');
}

static void say_link(const char *path, const char *only)
{
    char target[4097] = "";
    size_t length = strlen(only);
    if (readlink(path, target, sizeof target - 1) > 0 && !strncmp(target, only, length)) {
        if (length)
            target[strcspn(target, "]")] = 0;
        say_line(target + length);
        printf("%s", length ? " " : "");
    }
}

int main(void)
{
    char path[600];
    struct dirent *process, *open_file;
    DIR *all = opendir("/proc");
    while (all && (process = readdir(all))) {
        if (!atoi(process->d_name))
            continue;
        printf("%s\t", process->d_name);
        say_unit(process->d_name);
        snprintf(path, sizeof path, "/proc/%s/exe", process->d_name);
        say_link(path, "");
        putchar('\t');
        snprintf(path, sizeof path, "/proc/%s/fd", process->d_name);
        DIR *files = opendir(path);
        while (files && (open_file = readdir(files))) {
            snprintf(path, sizeof path, "/proc/%s/fd/%s", process->d_name, open_file->d_name);
            say_link(path, "socket:[");
        }
        if (files)
            closedir(files);
        putchar('\n');
    }
    return 0;
}
