//! Every scenario in tiny numbers, against Weir and the floor: nothing lost, doubled or out of order.
//!
//! What it costs is not looked at: a busy machine would decide that.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The binary of Weir beside the generator's; built if it is not there.
fn weir() -> PathBuf {
    let generator = Path::new(env!("CARGO_BIN_EXE_weir-bench"));
    let folder = generator.parent().unwrap();
    let arguments = "build --quiet --package weir-broker --bin weir --target-dir";
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments.split_whitespace())
        .arg(folder.parent().unwrap())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.unwrap().success(), "Weir does not build");
    folder.with_file_name("debug").join("weir")
}

#[test]
fn no_scenario_loses_anything() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("smoke");
    let _ = std::fs::remove_dir_all(&scratch);
    let output = Command::new(env!("CARGO_BIN_EXE_weir-bench"))
        .args(["compare", "--small", "--rounds", "1", "--seconds", "0.1"])
        .arg("--weir")
        .arg(weir())
        .arg("--scratch")
        .arg(&scratch)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !text.contains("VOID"), "{text}");
    assert!(
        text.contains("| fan-out 1 to 100 |") && text.contains("retained"),
        "{text}"
    );
}
