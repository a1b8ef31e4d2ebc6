# Print the small files of each session below ROOT, then what the queue says of the user's jobs.
# Arguments: ROOT ALL QUEUE-STATUS-COMMAND...      ALL is "all" or "live" (without ended ones)
# Records begin with a line "\036ID/FILE"; the last one is "\036/queue STATUS".
root=$1 all=$2
shift 2
case $root in "~/"*) root=$HOME/${root#"~/"} ;; "~") root=$HOME ;; esac
printf '\036/root\n%s\n' "$root"
cd "$root/sessions" 2>/dev/null && for id in *; do
    [ -f "$id/request.json" ] || continue
    [ "$all" = live ] && [ -f "$id/end.json" ] && continue
    for file in job request.json ready.json end.json node; do
        [ -f "$id/$file" ] || continue
        printf '\036%s/%s\n' "$id" "$file"
        cat "$id/$file"
        echo
    done
    printf '\036%s/workers\n' "$id"
    ls "$id/workers" 2>/dev/null
done
answer=$("$@" 2>&1)
status=$?
printf '\036/queue %s\n%s\n' "$status" "$answer"
