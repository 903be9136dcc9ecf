#include "model/generate/philox.h"

namespace heed {
namespace {

constexpr uint32_t High(uint64_t x) {
  return static_cast<uint32_t>(x >> 32);
}
constexpr uint32_t Low(uint64_t x) {
  return static_cast<uint32_t>(x);
}

}  // namespace

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  constexpr int kRounds = 10;
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t left = uint64_t{0xD2511F53} * counter[0];
    const uint64_t right = uint64_t{0xCD9E8D57} * counter[2];
    counter = {High(right) ^ counter[1] ^ key[0], Low(right), High(left) ^ counter[3] ^ key[1],
               Low(left)};
    key = {key[0] + 0x9E3779B9, key[1] + 0xBB67AE85};
  }
  return counter;
}

uint64_t RandomBits(uint64_t seed, uint64_t draw) {
  const std::array<uint32_t, 4> bits =
      Philox4x32({Low(draw), High(draw), 0, 0}, {Low(seed), High(seed)});
  return uint64_t{bits[1]} << 32 | bits[0];
}

}  // namespace heed
