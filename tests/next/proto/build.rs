//! Generates the gRPC code from the messages of this release: the next one changes none.

use std::error::Error;
use std::path::Path;

#[expect(dead_code, reason = "its `main` is the product's")]
#[path = "../../../proto/build.rs"]
mod product;

fn main() -> Result<(), Box<dyn Error>> {
    product::generate(Path::new("../../../proto"))
}
