# `just --list` shows these. Each is one command that can be typed by hand as well.

# The file system and the clock decide nothing here: every recipe runs from a fresh clone.
set positional-arguments

# Every test; with arguments, those whose names contain one of them.
test *filter:
    tests/run "$@"

# What a change must pass.
ci:
    .ci/run

# The long tests at twenty times their size, optimized, then an hour of mixed load in which memory
# stays flat; `just soak faults` leaves out what is no fault test, and the hour.
soak *what:
    tests/soak "$@"

# A mixed load with cuts for so long, an hour if you do not say: memory stays flat.
soak-memory seconds="3600":
    AIOMSG_SOAK_SECONDS={{seconds}} cargo test --profile soak --all-features --test faults_cycles -- --nocapture memory_stays_flat

# The benchmarks; what is measured in time stands beside raw tokio in the same run.
bench *args:
    cargo bench --all-features "$@"

# Instructions of the hot paths, which CI bounds; `--accept` sets the bounds anew. Wants Valgrind.
count *args:
    cargo run --release --package actix-aiomsg-instructions -- "$@"

# So many simulated runs, from the first seed on. What fails is traced.
simulate seeds="1000000" first="0":
    AIOMSG_SEEDS={{seeds}} AIOMSG_FIRST_SEED={{first}} cargo test --profile soak --lib simulation:: -- --nocapture

# One fuzz target (frame_walk, codec, handshake, connection, extension, metadata) for some seconds. Wants cargo-fuzz.
fuzz target="frame_walk" seconds="60":
    RUSTC_BOOTSTRAP=1 cargo fuzz run {{target}} -- -max_total_time={{seconds}} -max_len=4096

# The models of the data path, with one more preemption than CI allows.
loom preemptions="4":
    LOOM_MAX_PREEMPTIONS={{preemptions}} RUSTFLAGS="--cfg aiomsg_loom" CARGO_TARGET_DIR=target/loom cargo test --profile loom --lib loom

# Licences, advisories, sources. Wants cargo-deny.
deny:
    cargo deny check

# The documentation as docs.rs shows it, warnings denied.
doc:
    RUSTDOCFLAGS="--deny warnings" cargo doc --no-deps --all-features --open

# The simulations of docs/SCALE.md, whose pictures they draw anew.
scale:
    AIOMSG_PLOTS="$PWD/docs" cargo test --all-features --lib simulation::scale -- --nocapture
