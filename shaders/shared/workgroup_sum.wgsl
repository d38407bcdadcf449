// Sums over a workgroup. The importing shader has the override WORKGROUP.
var<workgroup> sums: array<u32, WORKGROUP>;

// The sum of what all invocations bring; `local` counts them. Every invocation has to call it.
fn workgroup_sum(value: u32, local: u32) -> u32 {
    sums[local] = value;
    // All values are written before one invocation adds them.
    workgroupBarrier();
    if local == 0u {
        var sum = value;
        for (var other = 1u; other < WORKGROUP; other++) {
            sum += sums[other];
        }
        sums[0] = sum;
    }
    // The total is written before all read it.
    workgroupBarrier();
    let total = sums[0];
    // All have read it before the values of another sum take its place.
    workgroupBarrier();
    return total;
}
