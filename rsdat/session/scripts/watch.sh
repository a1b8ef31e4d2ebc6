# Follow a session to readiness; one line per event, until it is ready, over, or deleted.
# Arguments: DIRECTORY QUEUE-STATUS-COMMAND...
# Both are asked often at first, then ever less: login nodes are shared, and jobs may wait for days.
directory=$1
shift
# In tenths of a second: what has passed, when to ask the queue, when the job was seen to run.
now=0 next=0 began=
while :; do
    # Listing the directory makes network file systems look again; done by the shell itself.
    for file in "$directory"/*; do break; done
    if ! [ -d "$directory" ]; then
        echo "missing"
        exit 0
    fi
    if [ -f "$directory/end.json" ]; then
        printf 'end '
        tr -d '\n' <"$directory/end.json"
        echo
        exit 0
    fi
    if [ -z "$began" ] && [ -s "$directory/node" ]; then
        began=$now
        echo "node $(cat "$directory/node")"
    fi
    if [ -f "$directory/ready.json" ]; then
        printf 'ready '
        tr -d '\n' <"$directory/ready.json"
        echo
        [ -f "$directory/tcp-wanted" ] && ! grep -q '"tcp": {' "$directory/ready.json" || exit 0
    fi
    if [ "$now" -ge "$next" ]; then
        answer=$("$@" 2>&1)
        status=$?
        printf 'queue %s\n' "$status"
        printf '%s\n' "$answer" | sed 's/^/| /'
        echo "."
        # After 0, 1, 3, 6 s, then every 10 s, from ten minutes on every 30 s.
        if [ "$now" -lt 10 ]; then next=$((now + 10))
        elif [ "$now" -lt 60 ]; then next=$((now + 25))
        elif [ "$now" -lt 6000 ]; then next=$((now + 100))
        else next=$((now + 300)); fi
    fi
    # A look at the directory every 0.1 s for a minute, and for a minute from the job's start on.
    if [ $((now - ${began:-0})) -lt 600 ]; then pause=1
    elif [ "$now" -lt 6000 ]; then pause=5
    else pause=20; fi
    seconds=$((pause / 10)).$((pause % 10))
    sleep "$seconds" 2>/dev/null || { pause=$((pause < 10 ? 10 : pause)) && sleep $((pause / 10)); }
    now=$((now + pause))
done
