//! Products whose loops would pass the limit of an invocation run in parts and give what the whole would.

use std::sync::Arc;

use bitplane::models::Model;
use graph::{Geometry, InputSpec, KernelPlan, NetworkBuilder, Padding, Phase, Shape, layers::Linear};
use kernels::{AndProduct, By, Kind, Output, PlaneGroup, Product, Random, ScaleIndex, XorProduct, words_for};
use pollster::block_on;
use recording::{BufferSlice, Dispatch, Executor, ExecutorError, Kernel, MAX_LOOP_TRIPS, Recording, Scope};
use tests::{Pictures, bits, gpu_session, open_gpu, options};

const MAX_TRIPS: u64 = 60_000;

fn product(m: u32, n: u32, k: u32, segments: u32, planes: [u32; 2]) -> Product {
    let group = |planes| PlaneGroup { first_plane: 0, planes, mask: None };
    let segment_words = words_for(k);
    Product {
        m,
        n,
        k,
        segments,
        segment_words,
        first_segment: 0,
        first_word: 0,
        row_words: segments * segment_words,
        lhs: group(planes[0]),
        rhs: group(planes[1]),
        rhs_kind: Kind::Sign,
        factor: 0.25,
        lhs_scale: ScaleIndex { by: By::One, div: 1 },
        rhs_scale: ScaleIndex { by: By::Segment, div: 1 },
        dst_row_stride: n,
        dst_col_stride: 1,
        accumulate: false,
        output: Output::F32,
    }
}

/// Random planes `[plane][row][segment][word]` with zeros in the pad bits.
fn operand(random: &mut Random, product: &Product, rows: u32, planes: u32) -> Vec<u32> {
    let mask = |word: u32| match product.k.saturating_sub(32 * word) {
        left @ ..32 => (1 << left) - 1,
        _ => u32::MAX,
    };
    let words = product.segment_words;
    (0..planes * rows * product.segments * words).map(|index| random.word() & mask(index % words)).collect()
}

/// Codes of one row and segment as integers of the operand's kind.
fn integers(planes: &[u32], product: &Product, rows: u32, count: u32, at: [u32; 2], kind: Kind) -> Vec<i64> {
    let code = |element: u32| -> i64 {
        let word = (at[0] * product.segments + at[1]) * product.segment_words + element / 32;
        let stride = rows * product.row_words;
        (0..count).map(|p| i64::from(planes[(p * stride + word) as usize] >> (element % 32) & 1) << p).sum()
    };
    let levels = (1 << count) - 1;
    let value = |code: i64| if kind == Kind::Unit { code } else { 2 * code - levels };
    (0..product.k).map(|element| value(code(element))).collect()
}

/// The whole product, in f64, and the sum of its terms' absolute values.
fn whole(product: &Product, lhs: &[u32], rhs: &[u32], scales: &[f32], kind: Kind) -> Vec<(f64, f64)> {
    let mut result = Vec::new();
    for i in 0..product.m {
        for j in 0..product.n {
            let (mut sum, mut absolute) = (0.0, 0.0);
            for segment in 0..product.segments {
                let a = integers(lhs, product, product.m, product.lhs.planes, [i, segment], kind);
                let b = integers(rhs, product, product.n, product.rhs.planes, [j, segment], Kind::Sign);
                let dot: i64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
                let term = dot as f64 * f64::from(product.factor) * f64::from(scales[segment as usize]);
                sum += term;
                absolute += term.abs();
            }
            result.push((sum, absolute));
        }
    }
    result
}

#[test]
fn parts_together_are_the_whole_product() {
    let Some(mut gpu) = open_gpu() else { return };
    let mut random = Random::new(60);
    let shapes = [
        // Many samples of few positions, and one sample of very many.
        product(5, 3, 49, 5_003, [2, 4]),
        product(2, 3, 32 * 9_001 - 5, 1, [5, 7]),
    ];
    for (shape, lhs_kind) in shapes.iter().flat_map(|shape| [(shape, Kind::Unit), (shape, Kind::Sign)]) {
        assert_eq!(shape.checked(), Ok(*shape));
        let lhs = operand(&mut random, shape, shape.m, shape.lhs.planes);
        let rhs = operand(&mut random, shape, shape.n, shape.rhs.planes);
        let scales: Vec<f32> = (0..shape.segments).map(|_| 0.5 + random.unit()).collect();
        let mut sums = Vec::new();
        for (i, segment) in (0..shape.m).flat_map(|i| (0..shape.segments).map(move |segment| (i, segment))) {
            let row = integers(&lhs, shape, shape.m, shape.lhs.planes, [i, segment], Kind::Unit);
            sums.push((row.iter().sum::<i64>() as i32).cast_unsigned());
        }
        let mut upload = |words: &[u32]| {
            let buffer = gpu.allocate("operand", words.len() as u64).expect("allocates");
            gpu.write(buffer, 0, words).expect("writes");
            BufferSlice::whole(buffer, words.len() as u64)
        };
        let scale_words: Vec<u32> = scales.iter().map(|scale| scale.to_bits()).collect();
        let dst = upload(&vec![f32::NAN.to_bits(); (shape.m * shape.n) as usize]);
        let [lhs_at, rhs_at, sums_at] = [&lhs, &rhs, &sums].map(|words| upload(words));
        let (one, scales_at) = (upload(&[1.0f32.to_bits()]), upload(&scale_words));
        let dispatch = |part: Product| -> Dispatch {
            let (kernel, buffers): (Arc<dyn Kernel>, _) = match lhs_kind {
                Kind::Unit => {
                    (Arc::new(AndProduct(part)), vec![lhs_at, rhs_at, sums_at, one, scales_at, dst])
                }
                Kind::Sign => (Arc::new(XorProduct(part)), vec![lhs_at, rhs_at, one, scales_at, dst]),
            };
            Dispatch { kernel, buffers, scope: Scope::default() }
        };

        let naive = dispatch(*shape);
        assert!(naive.kernel.loop_trips() > MAX_LOOP_TRIPS, "{} iterations", naive.kernel.loop_trips());
        let error = gpu.prepare(&Recording { dispatches: vec![naive] }).expect_err("too deep at once");
        assert!(matches!(error, ExecutorError::Dispatch { .. }), "{error}");

        let dispatches: Vec<Dispatch> = shape.split(MAX_TRIPS).into_iter().map(dispatch).collect();
        assert!(dispatches.len() > 1);
        let prepared = gpu.prepare(&Recording { dispatches }).expect("prepares");
        block_on(gpu.run(&prepared)).expect("runs");
        let got = block_on(gpu.read(dst.buffer, 0, dst.words)).expect("reads");
        for (index, (got, (want, absolute))) in
            got.into_iter().zip(whole(shape, &lhs, &rhs, &scales, lhs_kind)).enumerate()
        {
            let error = (f64::from(f32::from_bits(got)) - want).abs();
            // One rounding a term and one an addition.
            let bound = absolute * f64::from(f32::EPSILON) * f64::from(shape.segments + 4);
            let bound = bound.min(1e-5 * absolute);
            assert!(error <= bound, "{lhs_kind:?} {index}: off by {error:e} of {want}, bound {bound:e}");
        }
    }
}

#[test]
fn a_recorded_deep_weight_gradient_is_split_and_right() {
    let mut net = NetworkBuilder::new(Shape::new(96, 96, 1));
    let widths = bits([8, 8, 8]);
    let x = net.input();
    let x = net.activation("act0", x, 8).expect("fits");
    let same = Geometry::square(3, 1, Padding::Same);
    let x = net.quantized_conv2d("conv1", x, 2, same, widths).expect("fits");
    let x = net.batch_norm("bn1", x).expect("fits");
    let x = net.max_pool("pool1", x, Geometry::square(8, 8, Padding::Valid)).expect("fits");
    net.linear("fc1", x, Linear { outputs: 10, weight_decay: 0.0 }).expect("fits");
    let side = 96;
    let input = InputSpec {
        source_height: side,
        source_width: side,
        channels: 1,
        resize_height: side,
        resize_width: side,
        out_height: side,
        out_width: side,
    };
    let model = Model { network: net.build().expect("builds"), input };
    let samples = 12;
    let kernels = KernelPlan { portable: true, ..KernelPlan::default() };
    let options = graph::SessionOptions { kernels, ..options(&model, samples) };
    let Some(mut session) = gpu_session(&model, &options) else { return };
    let backward = session.recording(Phase::Backward).expect("a backward pass");
    let parts: Vec<u64> = backward
        .dispatches
        .iter()
        .filter(|d| d.kernel.name() == "and_product" && d.scope.pass == "grad_weight")
        .map(|d| d.kernel.loop_trips())
        .collect();
    assert!(parts.len() > 1 && parts.iter().sum::<u64>() > MAX_LOOP_TRIPS, "{parts:?}");
    assert!(parts.iter().all(|trips| *trips < MAX_LOOP_TRIPS), "{parts:?}");
    let pictures = Pictures::new(&model, samples, 61);
    for check in block_on(session.step_checked(&pictures.batch(), 0, 1e-3, false)).expect("a step") {
        assert!(check.comparison.passed(), "{} {} {}", check.layer, check.pass, check.kernel);
    }
}
