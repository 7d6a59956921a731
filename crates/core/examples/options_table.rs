//! Prints the table of options for docs/options.md.

fn main() {
    print!("{}", pgmig_core::options::render_markdown());
}
