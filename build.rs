//! Compiles the provider protocol without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(["provider.proto"], ["proto"])?;
    // These contain tokens and secrets; src/proto.rs implements a redacted `Debug`.
    let secret = ["MountRequest", "MountResponse", "File"].map(|message| format!(".v1alpha1.{message}"));
    tonic_prost_build::configure().skip_debug(secret).compile_fds(descriptors)?;
    Ok(())
}
