"""What runs minimise: each module holds one objective, which a trainer holds in turn (`loop.trainer.Objective`)."""
