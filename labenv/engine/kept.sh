# What a machine's files are, beyond what it was made from: those that changed since $T, and for each folder that changed, what
# is in it. A tar archive in one gzip stream, on standard output. ctime is the time that root cannot set (stat(2)).
umask 077
lists=$(mktemp -d /run/labenv-kept.XXXXXX) || exit
trap 'rm -r "$lists"' EXIT
cd /
find / -xdev \( -path /dev -o -path /proc -o -path /run -o -path /sys -o -path /labenv-tools \) -prune -o \
    -newerct "@$T" ! -type s ! -path / ! -path /etc/hosts ! -path /etc/hostname ! -path /etc/resolv.conf \
    -fprintf "$lists/changed" '%P\0' -type d -fprint0 "$lists/.labenv-folders"
find -files0-from "$lists/.labenv-folders" -mindepth 1 -maxdepth 1 -fprintf "$lists/.labenv-there" '%y%p\0'
# 1: a file changed while it was read (tar(1)). One that has gone meanwhile, such as mail in a queue, is no failure either.
{ tar -c --ignore-failed-read --numeric-owner --xattrs --xattrs-include='security.*' --sparse -C "$lists" .labenv-folders .labenv-there \
    -C / --no-recursion --null --files-from "$lists/changed" || [ $? -eq 1 ] && echo done >"$lists/done"; } | gzip -1
[ -s "$lists/done" ]
