#include "server/engine/step_planner.h"

#include <algorithm>
#include <utility>

namespace heed {
namespace {

// What is left of a step.
struct Budget {
  int64_t tokens;
  int64_t rows;

  void Spend(const PlannedSlice& slice) {
    tokens -= slice.end - slice.begin;
    rows -= slice.logits_rows;
  }
};

int64_t RowsBefore(const RunnableSequence& sequence, int64_t end) {
  const auto& positions = sequence.logits_positions;
  return std::lower_bound(positions.begin(), positions.end(), end) - positions.begin();
}

// The longest chunk of a prompt of at most `max_tokens` tokens and `max_rows` logits rows; possibly
// none.
PlannedSlice Chunk(const RunnableSequence& sequence, size_t index, int64_t max_tokens,
                   int64_t max_rows) {
  if (max_tokens <= 0 || max_rows < 0) return {index, sequence.position, sequence.position, 0};
  int64_t end = std::min(sequence.prompt_tokens, sequence.position + max_tokens);
  if (RowsBefore(sequence, end) > max_rows) end = sequence.logits_positions[max_rows];
  return {index, sequence.position, end, RowsBefore(sequence, end)};
}

class DecodeFirstPlanner : public StepPlanner {
 public:
  explicit DecodeFirstPlanner(const StepLimits& limits) : limits_(limits) {}

  void Plan(absl::Span<const RunnableSequence> sequences, bool whole_prompts,
            std::vector<PlannedSlice>* plan) const override {
    plan->clear();
    Budget budget{limits_.max_tokens, limits_.max_logits_rows};
    AddDecodes(sequences, budget, *plan);
    AddPrompts(sequences, whole_prompts, budget, *plan);
  }

 private:
  void AddDecodes(absl::Span<const RunnableSequence> sequences, Budget& budget,
                  std::vector<PlannedSlice>& plan) const {
    for (size_t i = 0; i < sequences.size(); ++i) {
      if (!sequences[i].decoding()) continue;
      plan.push_back({i, sequences[i].position, sequences[i].position + 1, 1});
    }
    const bool prompt_waits = plan.size() < sequences.size();
    const size_t limit =
        static_cast<size_t>(std::min(budget.tokens, budget.rows) - (prompt_waits ? 1 : 0));
    // Not std::stable_sort, which allocates.
    std::sort(plan.begin(), plan.end(), [&](const PlannedSlice& a, const PlannedSlice& b) {
      return std::pair(sequences[a.sequence].last_step, a.sequence) <
             std::pair(sequences[b.sequence].last_step, b.sequence);
    });
    if (plan.size() > limit) plan.resize(limit);
    if (!prompt_waits) AddDrafts(sequences, budget, plan);
    for (const PlannedSlice& slice : plan) budget.Spend(slice);
  }

  // In equal shares, of which the earlier ones leave what they do not need to the later.
  void AddDrafts(absl::Span<const RunnableSequence> sequences, const Budget& budget,
                 std::vector<PlannedSlice>& plan) const {
    int64_t others = static_cast<int64_t>(plan.size());
    int64_t room = std::min({limits_.max_draft_step_tokens, budget.tokens, budget.rows}) - others;
    for (PlannedSlice& slice : plan) {
      if (room <= 0) return;
      const int64_t count = std::min(sequences[slice.sequence].drafts, room / others--);
      slice.end += count;
      slice.logits_rows += count;
      room -= count;
    }
  }

  void AddPrompts(absl::Span<const RunnableSequence> sequences, bool whole_prompts, Budget& budget,
                  std::vector<PlannedSlice>& plan) const {
    const int64_t chunk_limit = plan.empty() ? limits_.max_tokens : limits_.max_chunk_tokens;
    bool any = false;
    for (size_t i = 0; i < sequences.size(); ++i) {
      const RunnableSequence& sequence = sequences[i];
      if (sequence.decoding()) continue;
      PlannedSlice slice;
      if (whole_prompts || sequence.whole_prompt) {
        slice = {i, sequence.position, sequence.prompt_tokens,
                 static_cast<int64_t>(sequence.logits_positions.size())};
        const bool fits =
            slice.end - slice.begin <= budget.tokens && slice.logits_rows <= budget.rows;
        // A later prompt must not overtake one that did not fit, or that one might never run.
        if (!fits && any) return;
      } else {
        slice = Chunk(sequence, i, std::min(chunk_limit, budget.tokens), budget.rows);
        if (slice.begin >= slice.end) continue;
      }
      any = true;
      plan.push_back(slice);
      budget.Spend(slice);
    }
  }

  const StepLimits limits_;
};

}  // namespace

std::unique_ptr<StepPlanner> NewDecodeFirstPlanner(const StepLimits& limits) {
  return std::make_unique<DecodeFirstPlanner>(limits);
}

}  // namespace heed
