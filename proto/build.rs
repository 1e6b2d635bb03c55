//! Generates the gRPC code without a `protoc` on the machine.

use std::error::Error;
use std::path::PathBuf;

const FILES: [&str; 6] = [
    "cloudai/v1/task.proto",
    "cloudai/v1/worker.proto",
    "cloudai/v1/master.proto",
    "cloudai/v1/registry.proto",
    "cloudai/v1/cluster.proto",
    "cloudai/v1/raft.proto",
];

/// Messages that are bodies of the REST API too: one wire type, two encodings.
const JSON_BODIES: [&str; 26] = [
    "Resources",
    "Constraint",
    "TaskSpec",
    "SubmittedTask",
    "Attempt",
    "Task",
    "TaskPage",
    "Worker",
    "WorkerPage",
    "Member",
    "ClusterStatus",
    "LeaderStatus",
    "MassLoss",
    "SetSchedulingRequest",
    "LabelWorkerRequest",
    "ReconnectResult",
    "ReconnectResponse",
    "WorkerHistory",
    "WorkerEvent",
    "UsageSample",
    "WorkerMetrics",
    "CreateTokenRequest",
    "CreatedToken",
    "Token",
    "TokenList",
    "RevokeTokenRequest",
];

/// Bodies that clients send: an unknown field is refused by name rather than dropped.
const REQUEST_BODIES: [&str; 6] = [
    "Resources",
    "Constraint",
    "TaskSpec",
    "SetSchedulingRequest",
    "LabelWorkerRequest",
    "CreateTokenRequest",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;

    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;

    let mut config = tonic_prost_build::configure()
        .codec_path("crate::codec::BoundedCodec")
        .bytes(".cloudai.v1")
        .btree_map(".cloudai.v1");
    for body in JSON_BODIES {
        let path = format!("cloudai.v1.{body}");
        config = config
            .type_attribute(&path, "#[derive(serde::Serialize, serde::Deserialize)]")
            .type_attribute(&path, "#[serde(default)]");
    }
    for body in REQUEST_BODIES {
        let path = format!("cloudai.v1.{body}");
        config = config.type_attribute(path, "#[serde(deny_unknown_fields)]");
    }
    config
        .field_attribute(
            "cloudai.v1.Constraint.value",
            "#[serde(with = \"crate::json::one_or_many\")]",
        )
        .compile_fds(descriptors)?;
    Ok(())
}
