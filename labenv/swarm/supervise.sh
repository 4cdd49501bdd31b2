# What the task of a supervisor runs (labenv.swarm.services). Between `begin` and `end` only this shell waits.
# What has begun is finished before anything else, however Swarm hurries.
export LABENV_STARTED=$(date +%s.%N)
# A signal that comes just before a `wait` ends what is waited for.
trap 'over=yes; [ -z "$idle" ] || kill $idle' TERM INT

# So many environments come up on a node at the same time: more of them would only compete for its processors. Who is first in the
# queue looks for a free slot; the others wait in the kernel. The slot stays taken until `begin` has ended.
exec 8>/slots/queue
flock 8 & idle=$!
[ -n "$over" ] || wait $idle
while [ -z "$over$turn" ]; do
    for slot in $(seq $(($(nproc) * 2))); do
        exec 9>/slots/$slot
        flock -n 9 && turn=$(date +%s.%N) && break
    done
    [ -n "$turn" ] || { sleep 0.2 & wait $!; }
done
exec 8>&-

if [ -z "$over" ]; then
    export LABENV_TURN=$turn
    python3 -m labenv.swarm.supervisor begin &
    begun=$!
    while kill -0 $begun 2>/dev/null; do wait $begun; rc=$?; done
    exec 9>&-
    [ "$rc" = 0 ] && idles=infinity || idles=15
    [ -n "$over" ] || { sleep $idles & idle=$!; }
    [ -n "$over" ] || wait $idle
    [ -n "$over" ] || exit 1
fi
exec python3 -m labenv.swarm.supervisor end
