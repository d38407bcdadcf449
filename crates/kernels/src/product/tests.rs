use recording::{Access, Kernel};
use reference::{
    bits::pack,
    product::{Kind, centered, matmul},
};

use super::{Output, Product, ProductError, Shape};
use crate::{AndProduct, Random, XorProduct};

/// dst after the products ran in order, and what they are.
fn run(products: &[Product], inputs: &[Vec<u32>; 5], xor: bool) -> Vec<u32> {
    let mut dst = vec![0; products[0].lens()[4] as usize];
    for &product in products {
        let [lhs, rhs, lhs_scale, rhs_scale, _] = inputs.each_ref().map(Vec::as_slice);
        let result = if xor {
            XorProduct(product).expected(&[lhs, rhs, lhs_scale, rhs_scale, &dst])
        } else {
            AndProduct(product).expected(&[lhs, rhs, &[], lhs_scale, rhs_scale, &dst])
        };
        dst = result.into_iter().next().expect("one written binding").words;
    }
    dst
}

#[test]
fn parts_stay_below_the_limit_and_together_are_the_whole() {
    let mut random = Random::new(20);
    let shapes =
        [Shape::new([3, 5, 45], 37, [2, 3]), Shape::new([3, 2, 4001], 3, [3, 1]).masked(false, true)];
    for shape in shapes {
        let inputs = shape.inputs(&mut random);
        for max_trips in [70, 150, 400, 1500, 60_000] {
            let parts = shape.product.split(max_trips);
            assert!(parts.iter().all(|part| part.loop_trips() < max_trips), "{} at {max_trips}", shape.label);
            for xor in [false, true] {
                assert_eq!(run(&parts, &inputs, xor), run(&[shape.product], &inputs, xor), "{}", shape.label);
            }
        }
        assert_eq!(shape.product.split(60_000), [shape.product]);
    }
}

#[test]
fn single_words_of_every_kernel_equal_the_whole_result() {
    let mut kernels = std::collections::BTreeSet::new();
    for case in crate::REGISTRY.iter().flat_map(|entry| (entry.cases)()) {
        let kernel = &case.kernel;
        if kernel.work().operations > 4_000_000 {
            continue;
        }
        let filled = |(input, &len): (&Vec<u32>, &u64)| match input.is_empty() {
            true => vec![0x3f80_0000; len as usize],
            false => input.clone(),
        };
        let lens = kernel.lens();
        let inputs: Vec<Vec<u32>> = case.inputs.iter().zip(&lens).map(filled).collect();
        let views: Vec<&[u32]> = inputs.iter().map(Vec::as_slice).collect();
        let written = kernel.bindings().iter().position(|binding| binding.access == Access::Write);
        let len = lens[written.expect("every kernel writes")] as usize;
        let indices: Vec<usize> = (0..len).step_by(len.div_ceil(40)).chain([len - 1]).collect();
        let Some(some) = kernel.expected_at(&views, &indices) else { continue };
        let whole = kernel.expected(&views).remove(0);
        let got: Vec<u32> = indices.iter().map(|&index| whole.words[index]).collect();
        let comparison = some.compare(&got);
        assert!(comparison.passed(), "{} {}: {:?}", kernel.name(), case.label, comparison.first);
        let altered = vec![1e30f32.to_bits(); got.len()];
        let noticed = some.compare(&altered).mismatches;
        assert!(noticed > 0, "{} {}: every value passes", kernel.name(), case.label);
        kernels.insert(kernel.name());
    }
    for name in ["and_product", "xor_product", "subgroup_product", "tile_product"] {
        assert!(kernels.contains(name), "{name}");
    }
    assert!(kernels.iter().filter(|name| name.starts_with("conv2d")).count() >= 9, "{kernels:?}");
}

#[test]
fn elements_of_a_split_product_are_each_multiplied_once() {
    let deep = Shape::new([1, 1, 32 * 70_001 + 5], 2, [1, 1]).product;
    let parts = deep.split(60_000);
    let elements: u64 = parts.iter().map(|part| u64::from(part.k) * u64::from(part.segments)).sum();
    assert_eq!(elements, 2 * u64::from(deep.k));
    assert!(parts.len() > 4 && parts.iter().all(|part| part.checked().is_ok()));
    assert!(!parts[0].accumulate && parts[1..].iter().all(|part| part.accumulate));
}

#[test]
fn packed_codes_multiply_like_the_integers_they_stand_for() {
    let mut random = Random::new(21);
    for round in 0..40 {
        let mut below = |limit: u32| 1 + random.word() % limit;
        let (m, n, k) = (below(6), below(6), below(130));
        let widths = [below(8), below(8)];
        let lhs_codes = random.codes((m * k) as usize, widths[0]);
        let rhs_codes = random.codes((n * k) as usize, widths[1]);
        let inputs = [
            pack(&lhs_codes, m as usize, k as usize, widths[0]),
            pack(&rhs_codes, n as usize, k as usize, widths[1]),
            vec![0],
            vec![0],
            vec![],
        ];
        for (xor, lhs_kind) in [(false, Kind::Unit), (true, Kind::Sign)] {
            let product = Shape::new([m, n, k], 1, widths).product;
            let want = matmul(
                &centered(&lhs_codes, widths[0], lhs_kind),
                &centered(&rhs_codes, widths[1], Kind::Sign),
                m as usize,
                n as usize,
                k as usize,
            );
            let got = run(&[product], &inputs, xor);
            let got: Vec<i64> = got.into_iter().map(|word| i64::from(word.cast_signed())).collect();
            assert_eq!(got, want, "round {round}: {m}x{n}x{k} {widths:?} xor {xor}");
        }
    }
}

#[test]
fn products_outside_the_contract_are_refused() {
    let good = Shape::new([3, 3, 33], 2, [8, 8]).product;
    assert_eq!(good.checked(), Ok(good));
    let deep = Shape::new([1, 1, 33_100], 1, [8, 8]).product;
    assert!(matches!(deep.checked(), Err(ProductError::Overflow { k: 33_100, .. })));
    let sum = Product { output: Output::I32, ..Shape::new([1, 1, 17_000], 2, [8, 8]).product };
    assert!(matches!(sum.checked(), Err(ProductError::Overflow { k: 34_000, .. })));
    assert!(Product { output: Output::F32, ..sum }.checked().is_ok());
    let mut wide = good;
    wide.lhs.planes = 9;
    assert!(matches!(wide.checked(), Err(ProductError::Planes { lhs_planes: 9, .. })));
    assert!(matches!(Product { segments: 3, ..good }.checked(), Err(ProductError::Segments { .. })));
    assert!(matches!(Product { k: 65, ..good }.checked(), Err(ProductError::Segments { .. })));
    let mut divided = good;
    divided.rhs_scale.div = 0;
    assert_eq!(divided.checked(), Err(ProductError::Divisor));
}
