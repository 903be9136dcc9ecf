// The golden checkpoints as the server holds them, loaded once.
#ifndef HEED_TESTS_SERVER_GOLDEN_MODELS_H_
#define HEED_TESTS_SERVER_GOLDEN_MODELS_H_

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "server/engine/registry.h"

namespace heed {

inline std::shared_ptr<const ServedModel> LoadGolden(const std::string& name) {
  auto model = LoadServedModel(name, absl::StrCat(HEED_SOURCE_DIR, "/tests/golden/models/", name),
                               LoadOptions{});
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *model : nullptr;
}

// Context 128, 320 rows of which 312 are tokens, width 40, 3 layers, 4 heads; adds one token in
// front of a text.
inline const ServedModel& Llama() {
  static const auto* const model =
      new std::shared_ptr<const ServedModel>(LoadGolden("llama-gqa-f32"));
  return **model;
}

// Bidirectional; context 64, width 32.
inline const ServedModel& Bert() {
  static const auto* const model = new std::shared_ptr<const ServedModel>(LoadGolden("bert-f32"));
  return **model;
}

inline const ServedModel& WithoutTokenizer() {
  static const auto* const model =
      new std::shared_ptr<const ServedModel>(LoadGolden("gpt2-bare-f16"));
  return **model;
}

}  // namespace heed

#endif  // HEED_TESTS_SERVER_GOLDEN_MODELS_H_
