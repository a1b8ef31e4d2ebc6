# Make a session directory from a tar stream on stdin and submit its job, in one round trip.
# Arguments: ROOT ID INTERPRETER SUBMIT-COMMAND...
# INTERPRETER, where not empty, has to exist here (the environment is on the shared file system).
# Prints "directory PATH", "host NAME", then what the submission printed after "submitted".
set -u
umask 077
root=$1 id=$2 interpreter=$3
shift 3
case $root in "~/"*) root=$HOME/${root#"~/"} ;; "~") root=$HOME ;; esac
case $interpreter in "~/"*) interpreter=$HOME/${interpreter#"~/"} ;; esac

if [ -n "$interpreter" ] && ! [ -x "$interpreter" ]; then
    echo "$interpreter" >&2
    exit 97
fi
directory=$root/sessions/$id
# Out of space or quota, or a home that is not writable: mkdir and tar say which.
mkdir -p "$root/sessions" && mkdir "$directory" || exit 96
cd "$directory" && tar -xof - || {
    cd / && rm -rf "$directory"
    exit 96
}
if answer=$("$@" 2>.refusal); then
    printf '%s\n' "$answer" >.job && mv .job job
    rm -f .refusal
    printf 'directory %s\nhost %s\nsubmitted\n%s\n' "$directory" "$(hostname)" "$answer"
else
    status=$?
    cat .refusal >&2
    cd / && rm -rf "$directory"
    # 96 and 97 are ours.
    case $status in 96 | 97) status=1 ;; esac
    exit "$status"
fi
