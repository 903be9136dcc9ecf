// Philox4x32-10, a counter-based random number generator: any draw of any stream is computed
// directly from its number. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#ifndef HEED_MODEL_GENERATE_PHILOX_H_
#define HEED_MODEL_GENERATE_PHILOX_H_

#include <array>
#include <cstdint>

namespace heed {

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// 64 random bits: number `draw` of the stream `seed`.
uint64_t RandomBits(uint64_t seed, uint64_t draw);

}  // namespace heed

#endif  // HEED_MODEL_GENERATE_PHILOX_H_
