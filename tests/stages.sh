# Sourced by tests/run, tests/soak and .ci/run: named, timed stages that all run, whichever fails.

failed=()
stage_times=()

# stage NAME COMMAND…: prints the name, runs the command, prints how long it took.
stage() {
    local name=$1 began=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    if "$@"; then
        printf -- '-- %s: %d s\n' "$name" $((SECONDS - began))
    else
        printf -- '-- %s: FAILED after %d s\n' "$name" $((SECONDS - began))
        failed+=("$name")
    fi
    stage_times+=("$(printf '%5d s  %s' $((SECONDS - began)) "$name")")
}

# Prints the table of the stages so far.
stage_table() {
    printf '\nStages so far:\n'
    printf '%s\n' "${stage_times[@]}"
}

# Fails, and says which stages did, if any did.
stage_verdict() {
    ((${#failed[@]} == 0)) && return
    printf '\nFailed:' >&2
    printf ' [%s]' "${failed[@]}" >&2
    printf '\n' >&2
    return 1
}

# usage_of SCRIPT: prints the comment at the script's head.
usage_of() {
    sed -n '2,/^set/s/^# \{0,1\}//p' "$1"
}
