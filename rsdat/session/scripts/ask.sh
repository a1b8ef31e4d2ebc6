# Run several commands in one round trip and print what each says, between marked lines.
# Arguments: WORD, then for each command LABEL SECONDS INPUT COUNT and COUNT words.
# WORD marks our lines; a leading ~/ of a word stands for the home here. A command that takes longer
# than its SECONDS ends with 124.
set -u
word=$1
shift

limited() {
    if command -v timeout >/dev/null; then
        timeout "$seconds" "$@"
    else
        "$@"
    fi
}

# Runs the first $1 of the further arguments.
first() {
    count=$1
    shift
    rest=$(($# - count))
    while [ "$count" -gt 0 ]; do
        argument=$1
        case $argument in "~/"*) argument=$HOME/${argument#"~/"} ;; "~") argument=$HOME ;; esac
        shift
        set -- "$@" "$argument"
        count=$((count - 1))
    done
    shift "$rest"
    limited "$@"
}

while [ $# -gt 0 ]; do
    label=$1 seconds=$2 given=$3
    shift 3
    printf '\n%s begin %s\n' "$word" "$label"
    printf %s "$given" | first "$@" 2>&1
    printf '\n%s end %s %s\n' "$word" "$?" "$label"
    shift "$(($1 + 1))"
done
