// Ways to damage a config.json, and what is expected then.
#ifndef HEED_TESTS_CHECKPOINT_HF_CONFIG_DAMAGE_H_
#define HEED_TESTS_CHECKPOINT_HF_CONFIG_DAMAGE_H_

#include <ostream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/checkpoint/config_values.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {

struct Damage {
  const char* name;
  const char* model_type;  // of the small model whose configuration is changed
  Values changes;
  absl::StatusCode code;
  const char* message;
};

inline void PrintTo(const Damage& damage, std::ostream* out) {
  *out << damage.name;
}

inline void ExpectRefused(const Damage& damage) {
  EXPECT_THAT(ReadWith(damage.model_type, damage.changes), IsError(damage.code, damage.message));
}

}  // namespace heed

#endif  // HEED_TESTS_CHECKPOINT_HF_CONFIG_DAMAGE_H_
