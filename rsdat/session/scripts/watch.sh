# Follow a session to readiness; one line per event, until it is ready, over, or deleted.
# Arguments: DIRECTORY QUEUE-STATUS-COMMAND...
# The queue is asked often at first, then every 10 s, then every 30 s: login nodes are shared.
directory=$1
shift
tick=0 next=0 node=
while :; do
    # Listing the directory makes network file systems look again.
    if ! ls "$directory" >/dev/null 2>&1; then
        echo "missing"
        exit 0
    fi
    if [ -f "$directory/end.json" ]; then
        printf 'end '
        tr -d '\n' <"$directory/end.json"
        echo
        exit 0
    fi
    if [ -z "$node" ] && [ -s "$directory/node" ]; then
        node=$(cat "$directory/node")
        echo "node $node"
    fi
    if [ -f "$directory/ready.json" ]; then
        printf 'ready '
        tr -d '\n' <"$directory/ready.json"
        echo
        [ -f "$directory/tcp-wanted" ] && ! grep -q '"tcp": {' "$directory/ready.json" || exit 0
    fi
    if [ "$tick" -ge "$next" ]; then
        answer=$("$@" 2>&1)
        status=$?
        printf 'queue %s\n' "$status"
        printf '%s\n' "$answer" | sed 's/^/| /'
        echo "."
        # Ticks are about 0.1 s: after 0, 1, 3, 6 s, then every 10 s, from ten minutes on every 30 s.
        if [ "$tick" -lt 10 ]; then next=$((tick + 10))
        elif [ "$tick" -lt 60 ]; then next=$((tick + 25))
        elif [ "$tick" -lt 6000 ]; then next=$((tick + 100))
        else next=$((tick + 300)); fi
    fi
    tick=$((tick + 1))
    sleep 0.1 2>/dev/null || { sleep 1 && tick=$((tick + 9)); }
done
