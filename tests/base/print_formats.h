// How tests print the formats of weights and of keys and values, as parameters for example.
#ifndef HEED_TESTS_BASE_PRINT_FORMATS_H_
#define HEED_TESTS_BASE_PRINT_FORMATS_H_

#include <ostream>

#include "model/base/layer_kinds.h"

namespace heed {

inline void PrintTo(WeightFormat format, std::ostream* out) {
  constexpr const char* kNames[] = {"as stored", "f32", "f16", "int8", "int4"};
  *out << kNames[static_cast<int>(format)];
}

inline void PrintTo(KvType type, std::ostream* out) {
  constexpr const char* kNames[] = {"f32", "f16", "int8"};
  *out << kNames[static_cast<int>(type)];
}

}  // namespace heed

#endif  // HEED_TESTS_BASE_PRINT_FORMATS_H_
