//! Images of bytes to float inputs. Numerics: `reference::image::gather`. Shader:
//! `shaders/image_gather.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::image::{Gather, View, gather};

use crate::{Case, Entry, Mutation, Random, WORKGROUP, floats::relative, groups_for};

/// Fills `dst[samples][out_height][out_width][channels]` with values in [0, 1] from `source`, images of bytes
/// (NHWC, four a word, no padding between rows). Row `s` of `table[samples][4]` says how: source index, flip
/// (0 or 1), and the signed offset `dy`, `dx` of the crop in the resized and mirrored image; what lies
/// outside is zero. Source indices must lie inside `source`, whose length the kernel does not know.
#[derive(Clone, Copy, Debug)]
pub struct ImageGather {
    /// Images of the result.
    pub samples: u32,
    /// Rows of a source image.
    pub source_height: u32,
    /// Columns of a source image.
    pub source_width: u32,
    /// Channels.
    pub channels: u32,
    /// Rows after the bilinear resize.
    pub resize_height: u32,
    /// Columns after the bilinear resize.
    pub resize_width: u32,
    /// Rows of the crop.
    pub out_height: u32,
    /// Columns of the crop.
    pub out_width: u32,
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "image_gather",
        source: Cow::Borrowed(include_str!("../../../shaders/image_gather.wgsl")),
        bindings: &[read("source"), read("table"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation {
            rule: "flip",
            from: "params.resize_width - 1u - shifted, mirrored",
            to: "params.resize_width - 1u - shifted, false",
        },
        Mutation { rule: "last channel", from: "channel < CHANNELS", to: "channel + 1u < CHANNELS" },
        Mutation { rule: "flip reversed", from: "sample + 1u] != 0u", to: "sample + 1u] == 0u" },
        Mutation { rule: "crop row", from: "+ table[4u * sample + 2u]", to: "" },
        Mutation { rule: "crop column", from: "+ table[4u * sample + 3u]", to: "" },
        Mutation { rule: "range", from: " / 255.0", to: " / 256.0" },
        Mutation { rule: "pixel centers", from: "* size + resized", to: "* size" },
        Mutation { rule: "edge repeated", from: "min(above, size - 1u)", to: "above" },
        Mutation { rule: "nearest instead of bilinear", from: "down.share)", to: "0.0)" },
        Mutation { rule: "byte of a word", from: ">> (8u * (at % 4u))", to: ">> (8u * (3u - at % 4u))" },
        Mutation { rule: "source image", from: "table[4u * sample] *", to: "0u *" },
        Mutation { rule: "outside is zero", from: "row < params.resize_height && ", to: "" },
        Mutation {
            rule: "tail sample",
            from: "sample >= params.samples",
            to: "sample + 1u >= params.samples",
        },
        Mutation {
            rule: "write past the end",
            from: "sample >= params.samples",
            to: "sample > params.samples",
        },
    ],
};

impl ImageGather {
    fn outputs(&self) -> u64 {
        let pixels = u64::from(self.samples) * u64::from(self.out_height) * u64::from(self.out_width);
        pixels * u64::from(self.channels)
    }
}

impl Kernel for ImageGather {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("samples", self.samples),
            Param::u32("source_height", self.source_height),
            Param::u32("source_width", self.source_width),
            Param::u32("resize_height", self.resize_height),
            Param::u32("resize_width", self.resize_width),
            Param::u32("out_height", self.out_height),
            Param::u32("out_width", self.out_width),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP), Constant::new("CHANNELS", self.channels)]
    }
    fn workgroups(&self) -> u64 {
        groups_for(self.outputs() / u64::from(self.channels))
    }
    fn lens(&self) -> Vec<u64> {
        let image = u64::from(self.source_height) * u64::from(self.source_width) * u64::from(self.channels);
        vec![image.div_ceil(4), 4 * u64::from(self.samples), self.outputs()]
    }
    fn loop_trips(&self) -> u64 {
        u64::from(self.channels)
    }
    fn work(&self) -> Work {
        Work { operations: 12 * self.outputs(), bytes: 4 * self.lens().iter().sum::<u64>() }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let shape = Gather {
            height: self.source_height as usize,
            width: self.source_width as usize,
            channels: self.channels as usize,
            resize_height: self.resize_height as usize,
            resize_width: self.resize_width as usize,
            out_height: self.out_height as usize,
            out_width: self.out_width as usize,
        };
        let bytes: Vec<u8> = buffers[0].iter().flat_map(|word| word.to_le_bytes()).collect();
        let whole = bytes.len() - bytes.len() % (shape.height * shape.width * shape.channels);
        let view = |entry: &[u32]| View {
            image: entry[0] as usize,
            flip: entry[1] != 0,
            dy: entry[2].cast_signed(),
            dx: entry[3].cast_signed(),
        };
        let views: Vec<View> = buffers[1].chunks_exact(4).take(self.samples as usize).map(view).collect();
        let values = gather(&shape, &bytes[..whole], &views);
        // Two blends of three operations and a quotient for the share each, then the quotient by 255.
        vec![relative(&values, 14.0)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(40);
    let mut case = |samples: u32, source: [u32; 3], resize: [u32; 2], out: [u32; 2]| {
        let [source_height, source_width, channels] = source;
        let [resize_height, resize_width] = resize;
        let [out_height, out_width] = out;
        let images = 3;
        let bytes = images * source_height * source_width * channels;
        let mut words = random.words(bytes.div_ceil(4) as usize);
        words[0] |= 0xff00;
        let mut table = vec![];
        for sample in 0..samples {
            let offset = |word: u32, slack: u32| (word % (2 * slack + 3)).wrapping_sub(slack + 1);
            table.extend([random.word() % images, sample % 2]);
            table.push(offset(random.word(), resize_height.abs_diff(out_height)));
            table.push(offset(random.word(), resize_width.abs_diff(out_width)));
        }
        let kernel = ImageGather {
            samples,
            source_height,
            source_width,
            channels,
            resize_height,
            resize_width,
            out_height,
            out_width,
        };
        Case::new(
            format!("{samples} of {source:?} to {resize:?} crop {out:?}"),
            kernel,
            vec![words, table, vec![]],
        )
    };
    vec![
        case(1, [1, 1, 1], [1, 1], [1, 1]),
        case(5, [5, 7, 3], [5, 7], [5, 7]),
        case(4, [8, 8, 1], [8, 8], [5, 6]),
        case(4, [8, 8, 3], [8, 8], [11, 10]),
        case(6, [8, 8, 3], [10, 10], [10, 10]),
        case(6, [7, 9, 2], [13, 5], [11, 4]),
        case(6, [16, 16, 1], [5, 3], [5, 3]),
        case(7, [32, 32, 3], [40, 40], [32, 32]),
    ]
}
