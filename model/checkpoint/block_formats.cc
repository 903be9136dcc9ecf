#include "model/checkpoint/block_formats.h"

#include <array>
#include <cstring>

#include "model/checkpoint/float_formats.h"

namespace heed {
namespace {

// Loops over the values of a block have fixed bounds and no branches, so that the compiler turns
// them into vector code. Nothing here may be contracted into fused multiply-adds (CMakeLists.txt
// sees to it): the reference rounds products.

constexpr int kSmallBlock = 32;
constexpr int kSuperBlock = 256;

float LoadHalf(const uint8_t* bytes) {
  float value = 0;
  F16ToF32(reinterpret_cast<const char*>(bytes), absl::MakeSpan(&value, 1));
  return value;
}

uint32_t Load32(const uint8_t* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

// Calls `block` for each block of the tensor's bytes with the place for its values.
template <int kValues, int kBytes, void (*block)(const uint8_t*, float*)>
void ForEachBlock(const char* bytes, absl::Span<float> out) {
  const auto* in = reinterpret_cast<const uint8_t*>(bytes);
  for (size_t i = 0; i < out.size(); i += kValues, in += kBytes) block(in, out.data() + i);
}

void F32Values(const char* bytes, absl::Span<float> out) {
  if (!out.empty()) std::memcpy(out.data(), bytes, out.size() * sizeof(float));
}

// f16 d; i8 qs[32].
void Q8_0(const uint8_t* in, float* out) {
  const float d = LoadHalf(in);
  for (int i = 0; i < kSmallBlock; ++i) {
    out[i] = static_cast<float>(static_cast<int8_t>(in[2 + i])) * d;
  }
}

// f16 d; u8 qs[16]: the low halves of the bytes are the first 16 values.
void Q4_0(const uint8_t* in, float* out) {
  const float d = LoadHalf(in);
  const uint8_t* qs = in + 2;
  for (int i = 0; i < 16; ++i) out[i] = d * static_cast<float>((qs[i] & 15) - 8);
  for (int i = 0; i < 16; ++i) out[16 + i] = d * static_cast<float>((qs[i] >> 4) - 8);
}

// f16 d; f16 m; u8 qs[16].
void Q4_1(const uint8_t* in, float* out) {
  const float d = LoadHalf(in), m = LoadHalf(in + 2);
  const uint8_t* qs = in + 4;
  for (int i = 0; i < 16; ++i) out[i] = d * static_cast<float>(qs[i] & 15) + m;
  for (int i = 0; i < 16; ++i) out[16 + i] = d * static_cast<float>(qs[i] >> 4) + m;
}

// Each value's bit of the four bytes that hold the fifth bits. A table, since few instruction sets
// can shift each lane of a vector by another number.
constexpr std::array<uint32_t, kSmallBlock> kFifthBits = [] {
  std::array<uint32_t, kSmallBlock> bits{};
  for (int i = 0; i < kSmallBlock; ++i) bits[i] = uint32_t{1} << i;
  return bits;
}();

// Values of 0 to 31, in the order of Q4_0 and with their fifth bits in `qh`.
void UnpackFiveBits(const uint8_t* qs, uint32_t qh, int* out) {
  for (int i = 0; i < 16; ++i) out[i] = qs[i] & 15;
  for (int i = 0; i < 16; ++i) out[16 + i] = qs[i] >> 4;
  for (int i = 0; i < kSmallBlock; ++i) out[i] += (qh & kFifthBits[i]) != 0 ? 16 : 0;
}

// f16 d; u8 qh[4]; u8 qs[16].
void Q5_0(const uint8_t* in, float* out) {
  const float d = LoadHalf(in);
  int values[kSmallBlock];
  UnpackFiveBits(in + 6, Load32(in + 2), values);
  for (int i = 0; i < kSmallBlock; ++i) out[i] = d * static_cast<float>(values[i] - 16);
}

// f16 d; f16 m; u8 qh[4]; u8 qs[16].
void Q5_1(const uint8_t* in, float* out) {
  const float d = LoadHalf(in), m = LoadHalf(in + 2);
  int values[kSmallBlock];
  UnpackFiveBits(in + 8, Load32(in + 4), values);
  for (int i = 0; i < kSmallBlock; ++i) out[i] = d * static_cast<float>(values[i]) + m;
}

// u8 scales[16]; u8 qs[64]; f16 d; f16 dmin. Value 128 n + 32 k + l has bits 2 k of qs[32 n + l].
void Q2_K(const uint8_t* in, float* out) {
  const uint8_t* scales = in;
  const uint8_t* qs = in + 16;
  const float d = LoadHalf(in + 80), dmin = LoadHalf(in + 82);
  for (int part = 0; part < 16; ++part) {  // 16 values with one scale
    const uint8_t* bits = qs + 32 * (part / 8) + 16 * (part % 2);
    const int shift = 2 * (part % 8 / 2);
    const float scale = d * static_cast<float>(scales[part] & 15);
    const float minimum = dmin * static_cast<float>(scales[part] >> 4);
    for (int i = 0; i < 16; ++i) {
      out[16 * part + i] = scale * static_cast<float>((bits[i] >> shift) & 3) - minimum;
    }
  }
}

// u8 hmask[32]; u8 qs[64]; u8 scales[12]; f16 d. Places as in Q2_K; a bit that is not set in hmask
// takes 4 off.
void Q3_K(const uint8_t* in, float* out) {
  const uint8_t* hmask = in;
  const uint8_t* qs = in + 32;
  const uint8_t* scales = in + 96;
  const float d = LoadHalf(in + 108);
  for (int part = 0; part < 16; ++part) {
    const int low = part < 8 ? scales[part] & 15 : scales[part - 8] >> 4;
    const int high = (scales[8 + part % 4] >> (2 * (part / 4))) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    const uint8_t* bits = qs + 32 * (part / 8) + 16 * (part % 2);
    const uint8_t* mask = hmask + 16 * (part % 2);
    const int shift = 2 * (part % 8 / 2);
    for (int i = 0; i < 16; ++i) {
      const int value = ((bits[i] >> shift) & 3) - 4 + ((mask[i] >> (part / 2)) & 1) * 4;
      out[16 * part + i] = scale * static_cast<float>(value);
    }
  }
}

// The 6-bit scale and minimum of 32 values, packed eight of each into 12 bytes.
struct ScaleAndMinimum {
  float scale, minimum;

  ScaleAndMinimum(const uint8_t* packed, int index, float d, float dmin) {
    int s, m;
    if (index < 4) {
      s = packed[index] & 63;
      m = packed[index + 4] & 63;
    } else {
      s = (packed[index + 4] & 15) | (packed[index - 4] >> 6) << 4;
      m = (packed[index + 4] >> 4) | (packed[index] >> 6) << 4;
    }
    scale = d * static_cast<float>(s);
    minimum = dmin * static_cast<float>(m);
  }
};

// f16 d; f16 dmin; u8 scales[12]; u8 qs[128]: 32 bytes hold 64 values, first their low halves.
void Q4_K(const uint8_t* in, float* out) {
  const float d = LoadHalf(in), dmin = LoadHalf(in + 2);
  for (int part = 0; part < 8; ++part) {
    const ScaleAndMinimum of(in + 4, part, d, dmin);
    const uint8_t* qs = in + 16 + 32 * (part / 2);
    const int shift = 4 * (part % 2);
    for (int i = 0; i < 32; ++i) {
      out[32 * part + i] = of.scale * static_cast<float>((qs[i] >> shift) & 15) - of.minimum;
    }
  }
}

// f16 d; f16 dmin; u8 scales[12]; u8 qh[32]; u8 qs[128]: as Q4_K, with the fifth bits in qh.
void Q5_K(const uint8_t* in, float* out) {
  const float d = LoadHalf(in), dmin = LoadHalf(in + 2);
  const uint8_t* qh = in + 16;
  for (int part = 0; part < 8; ++part) {
    const ScaleAndMinimum of(in + 4, part, d, dmin);
    const uint8_t* qs = in + 48 + 32 * (part / 2);
    const int shift = 4 * (part % 2);
    for (int i = 0; i < 32; ++i) {
      const int value = ((qs[i] >> shift) & 15) | ((qh[i] >> part) & 1) << 4;
      out[32 * part + i] = of.scale * static_cast<float>(value) - of.minimum;
    }
  }
}

// u8 ql[128]; u8 qh[64]; i8 scales[16]; f16 d. Within each half of the block, 32 values at a time
// take the low halves of 64 bytes of ql, then the high ones, and two bits each of qh.
void Q6_K(const uint8_t* in, float* out) {
  const float d = LoadHalf(in + 208);
  for (int part = 0; part < 16; ++part) {  // 16 values with one scale
    const int half = part / 8, quarter = part % 8 / 2, side = 16 * (part % 2);
    const uint8_t* ql = in + 64 * half + 32 * (quarter % 2) + side;
    const uint8_t* qh = in + 128 + 32 * half + side;
    const float scale = d * static_cast<float>(static_cast<int8_t>(in[192 + part]));
    const int low_shift = 4 * (quarter / 2), high_shift = 2 * quarter;
    for (int i = 0; i < 16; ++i) {
      const int value = ((ql[i] >> low_shift) & 15) | ((qh[i] >> high_shift) & 3) << 4;
      out[16 * part + i] = scale * static_cast<float>(value - 32);
    }
  }
}

constexpr BlockFormat kFormats[] = {
    {0, "F32", 1, 4, DType::kF32, F32Values},
    {1, "F16", 1, 2, DType::kF16, F16ToF32},
    {2, "Q4_0", 32, 18, DType::kQ4_0, ForEachBlock<kSmallBlock, 18, Q4_0>},
    {3, "Q4_1", 32, 20, DType::kQ4_1, ForEachBlock<kSmallBlock, 20, Q4_1>},
    {6, "Q5_0", 32, 22, DType::kQ5_0, ForEachBlock<kSmallBlock, 22, Q5_0>},
    {7, "Q5_1", 32, 24, DType::kQ5_1, ForEachBlock<kSmallBlock, 24, Q5_1>},
    {8, "Q8_0", 32, 34, DType::kQ8_0, ForEachBlock<kSmallBlock, 34, Q8_0>},
    {9, "Q8_1", 32, 36},
    {10, "Q2_K", 256, 84, DType::kQ2_K, ForEachBlock<kSuperBlock, 84, Q2_K>},
    {11, "Q3_K", 256, 110, DType::kQ3_K, ForEachBlock<kSuperBlock, 110, Q3_K>},
    {12, "Q4_K", 256, 144, DType::kQ4_K, ForEachBlock<kSuperBlock, 144, Q4_K>},
    {13, "Q5_K", 256, 176, DType::kQ5_K, ForEachBlock<kSuperBlock, 176, Q5_K>},
    {14, "Q6_K", 256, 210, DType::kQ6_K, ForEachBlock<kSuperBlock, 210, Q6_K>},
    {15, "Q8_K", 256, 292},
    {16, "IQ2_XXS", 256, 66},
    {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98},
    {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18},
    {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},
    {23, "IQ4_XS", 256, 136},
    {24, "I8", 1, 1},
    {25, "I16", 1, 2},
    {26, "I32", 1, 4},
    {27, "I64", 1, 8, DType::kI64},
    {28, "F64", 1, 8},
    {29, "IQ1_M", 256, 56},
    {30, "BF16", 1, 2, DType::kBF16, BF16ToF32},
    {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},
    {39, "MXFP4", 32, 17},
    {40, "NVFP4", 64, 36},
    {41, "Q1_0", 128, 18},
    {42, "Q2_0", 64, 18},
};

}  // namespace

const BlockFormat* FindBlockFormat(uint32_t id) {
  for (const BlockFormat& format : kFormats) {
    if (format.id == id) return &format;
  }
  return nullptr;
}

absl::Span<const BlockFormat> BlockFormats() {
  return kFormats;
}

absl::string_view DTypeName(DType dtype) {
  for (const BlockFormat& format : kFormats) {
    if (format.dtype == dtype && dtype != DType::kOther) return format.name;
  }
  return "other";
}

}  // namespace heed
