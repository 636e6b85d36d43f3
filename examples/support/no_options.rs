//! For programs that take no options: `--help` says what they do, and anything else is refused.

/// Ends the program unless it was started without arguments.
pub(crate) fn expect(about: &str) {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    match arguments.next().as_deref() {
        None => {}
        Some("-h" | "--help") => {
            println!("{about}\n\nUsage: {name}\n\nIt takes no options but --help.");
            std::process::exit(0);
        }
        Some(unknown) => {
            eprintln!(
                "error: unexpected argument '{unknown}'\n\nFor more information, try '--help'."
            );
            std::process::exit(2);
        }
    }
}
