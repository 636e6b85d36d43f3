//! What a process costs, as Linux counts it.

use std::fs;

const KIB: u64 = 1024;

/// Bytes of memory that a process occupies now.
pub fn resident(process: u32) -> u64 {
    figure(process, "VmRSS:")
}

/// Bytes of memory that a process has occupied at most.
pub fn peak(process: u32) -> u64 {
    figure(process, "VmHWM:")
}

/// Descriptors that this process has open.
pub fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("Linux").count()
}

fn figure(process: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .expect("a process that runs has memory");
    let kib = line.trim().trim_end_matches(" kB");
    kib.parse::<u64>().expect("a number") * KIB
}
