//! Tests of devices that are assigned to processes.

use super::*;
use crate::devices::tests::{FakeLibrary, devices, wanted};

#[tokio::test]
async fn attempts_at_the_same_time_see_different_devices() {
    let mut bench = bench_with(devices(&FakeLibrary::default(), &["f0"]));
    let script =
        "echo \"<$CUDA_VISIBLE_DEVICES|$CLOUDAI_GPUS|$CLOUDAI_DEVICES_FPGA_X2>\"; exec sleep 600";
    // A task cannot choose for itself.
    let env = BTreeMap::from([("CUDA_VISIBLE_DEVICES".to_owned(), "0,1,2".to_owned())]);
    let with = |task, gpus| Launch {
        attempt: attempt_ref(task, 2),
        room: Some(wanted(gpus)),
        env: env.clone(),
        ..shell(script)
    };
    let b = attempt_ref(2, 2);
    let first_line = |attempt| {
        let mut reader =
            bench.logs.open(attempt, &[OutputStream::Stdout], Follow::Yes, None).unwrap();
        async move {
            let (_, bytes, _) = reader.next_chunk().await.unwrap().unwrap();
            String::from_utf8(bytes.to_vec()).unwrap()
        }
    };
    bench.executor.start(with(1, 2));
    assert_eq!(first_line(A).await, "<GPU-a,MIG-b|GPU-a,MIG-b|>\n");
    bench.executor.start(with(2, 1));
    assert_eq!(first_line(b).await, "<MIG-c|MIG-c|>\n");
    bench.executor.start(with(3, 0));
    assert_eq!(first_line(attempt_ref(3, 2)).await, "<||>\n");

    // What waits for devices can be stopped, too.
    bench.executor.start(with(4, 1));
    bench.executor.running().stop(attempt_ref(4, 2), Stop::Kill);
    assert_eq!(bench.ended.recv().await.unwrap().attempt, attempt_ref(4, 2));
    bench.executor.running().kill_all();
    bench.executor.running().idle().await;
}

#[tokio::test]
async fn an_attempt_whose_devices_do_not_work_is_given_back() {
    let mut bench = bench_with(devices(&FakeLibrary::default(), &[]));
    let outcome = bench.run(Launch { room: Some(wanted(4)), ..shell("true") }).await;
    assert_eq!(outcome, AttemptOutcome::Lost(LossReason::NotStarted));
    assert!(bench.starts.try_recv().is_err(), "the machine is not to blame");
}
