// The machine's own limits, measured: how fast memory can be read and how fast multiply-adds can be
// done.
#ifndef HEED_TESTS_BENCH_MACHINE_H_
#define HEED_TESTS_BENCH_MACHINE_H_

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"

namespace heed::bench {

// Bytes per second that all OpenMP threads together read from `bytes` of memory, one value a
// repetition. Each repetition reads the memory over and over for at least `seconds`.
std::vector<double> MeasureReadBandwidth(int64_t bytes, double seconds, int repetitions);

enum class Arithmetic {
  kF32,
  kQuantized,  // what layers of 8 and 4 bits are made of; see ArithmeticName
};

// "f32"; "bf16" with tiles (AMX), else "int8": dot products of four bytes, summed in 32 bits.
absl::string_view ArithmeticName(Arithmetic arithmetic);

// Operations per second (a multiply-add is two) of all OpenMP threads in registers, with the widest
// vectors or tiles heed's own kernels would use here; one value a repetition of about `seconds`
// each.
std::vector<double> MeasureMultiplyAdds(Arithmetic arithmetic, double seconds, int repetitions);

int64_t ResidentBytes();      // of this process
int64_t PeakResidentBytes();  // the most that this process ever had
int64_t AvailableBytes();     // that the machine could still give out

}  // namespace heed::bench

#endif  // HEED_TESTS_BENCH_MACHINE_H_
