// The number formats of ggml, in which GGUF files store tensors: how many values a block holds, how
// many bytes it takes, and what f32 values its bytes stand for.
//
// A block is a run of neighbouring values of one row that share a scale (ggml's ggml-common.h names
// the fields; ggml-quants.c and gguf-py's quants.py are the reference). Values equal those of the
// reference bit for bit: each product and sum is rounded to f32 in the reference's order.
#ifndef HEED_MODEL_CHECKPOINT_BLOCK_FORMATS_H_
#define HEED_MODEL_CHECKPOINT_BLOCK_FORMATS_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/checkpoint/checkpoint.h"

namespace heed {

// `bytes` holds blocks for exactly out.size() values, a multiple of the block's; no alignment is
// needed.
using DequantizeFunction = void (*)(const char* bytes, absl::Span<float> out);

struct BlockFormat {
  uint32_t id = 0;         // GGUF's number of the type
  absl::string_view name;  // "F32", "Q4_K"
  int block_values = 1;    // a row's length is a multiple of this
  int block_bytes = 0;
  DType dtype = DType::kOther;
  DequantizeFunction dequantize = nullptr;  // null: heed knows the size of a block, not its meaning

  // Bytes of `values` values, a multiple of block_values.
  int64_t ByteCount(int64_t values) const { return values / block_values * block_bytes; }
};

// Null for a number that is no type, or no longer one.
const BlockFormat* FindBlockFormat(uint32_t id);

// All of them, by id.
absl::Span<const BlockFormat> BlockFormats();

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_BLOCK_FORMATS_H_
